"""Setun's operators in Python: torch.ops.load_library on libsetun.so, results against the formulas written in torch.

LibTorch's own OpenMP runtime is loaded first here, the other order than in the setun program: that must work too.
"""
import os
import sys
import unittest
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def find_library():
    """libsetun.so beside the program under test: SETUN_BINARY, else build/release, else build/dev."""
    binary = os.environ.get("SETUN_BINARY")
    folders = [Path(binary).parent] if binary else [ROOT / "build/release", ROOT / "build/dev"]
    for folder in folders:
        if (folder / "libsetun.so").exists():
            return folder / "libsetun.so"
    sys.exit("libsetun.so not found; build it first: scripts/build")


torch.ops.load_library(str(find_library()))
setun = torch.ops.setun
EPS = 1e-5


class Operators(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def test_absmax_codes_are_the_formula(self):
        x = torch.randn(5, 7, 96)
        codes, scale = setun.quantize_absmax(x, 8, EPS)
        largest = x.abs().amax(-1, keepdim=True).clamp_min(EPS)
        wanted = torch.full_like(largest, 127) / largest  # 127 / tensor would multiply by a reciprocal
        self.assertTrue(torch.equal(scale, wanted))
        self.assertTrue(torch.equal(codes, (x * wanted).round().clamp(-128, 127).to(torch.int8)))
        self.assertTrue(torch.equal(setun.dequantize_absmax(codes, scale), codes / scale))
        self.assertTrue(torch.equal(setun.fake_quantize_absmax(x, 8, EPS), codes / scale))

    def test_absmean_codes_are_the_formula_for_the_scale_given(self):
        w = torch.randn(12, 64) * 0.02
        for group, view in ((0, (1, -1)), (64, (12, -1)), (16, (48, -1))):
            codes, scale = setun.quantize_absmean(w, group, EPS)
            rows = w.reshape(view)
            torch.testing.assert_close(scale.reshape(-1), rows.abs().mean(-1).clamp_min(EPS), rtol=1e-6, atol=0)
            exact = scale.reshape(-1, 1)
            wanted = (rows * (1 / exact)).round().clamp(-1, 1)
            self.assertTrue(torch.equal(codes.reshape(rows.shape), wanted.to(torch.int8)))
            self.assertTrue(torch.equal(setun.dequantize_absmean(codes, scale).reshape(rows.shape), wanted * exact))

    def test_rms_norm_and_its_gradients_agree_with_torch(self):
        x = torch.randn(6, 40, requires_grad=True)
        gain = torch.randn(40, requires_grad=True)
        upstream = torch.randn(6, 40)
        gradients = torch.autograd.grad(setun.rms_norm(x, gain, EPS), (x, gain), upstream)
        wanted = torch.autograd.grad(torch.rms_norm(x, (40,), gain, EPS), (x, gain), upstream)
        torch.testing.assert_close(setun.rms_norm(x, gain, EPS), torch.rms_norm(x, (40,), gain, EPS))
        for got, want in zip(gradients, wanted):
            torch.testing.assert_close(got, want)

    def test_absmean_activations_and_fp4_are_their_formulas(self):
        x = torch.randn(5, 96)
        codes, scale = setun.quantize_act_absmean(x, 4, 1.0, EPS)
        mean = x.abs().mean(-1, keepdim=True)
        torch.testing.assert_close(scale, mean / 7**0.5)
        self.assertLessEqual((codes - (7**0.5 * x / (mean + EPS)).clamp(-8, 7)).abs().max().item(), 0.5001)
        self.assertTrue(torch.equal(setun.fake_quantize_act_absmean(x, 4, 1.0, EPS), codes * scale))
        codes, scale = setun.quantize_fp4(x)
        grid = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
        level = 6 * x / x.abs().amax(-1, keepdim=True)
        nearest = (level.abs().unsqueeze(-1) - grid).abs().amin(-1)
        torch.testing.assert_close((codes / 2 - level).abs(), nearest)
        self.assertTrue(torch.equal(setun.fake_quantize_fp4(x), codes * scale))
        self.assertTrue(torch.equal(setun.round_e2m1(grid), grid))

    def test_products_of_few_rows_and_one_token_of_attention_agree_with_torch(self):
        x, w = torch.randn(3, 96), torch.randn(10, 96).bfloat16()
        torch.testing.assert_close(setun.few_rows_linear(x, w, torch.float32), x @ w.float().T)
        with self.assertRaisesRegex(RuntimeError, "has no gradient"):
            setun.few_rows_linear(x.clone().requires_grad_(), w, torch.float32)
        codes, scale, _ = setun.quantize_absmax_rows(x, 8, EPS)
        w_codes, w_scale, w_sums = setun.quantize_absmax_rows(w, 8, EPS)
        y = setun.int8_linear(codes, scale, w_codes, w_scale, w_sums, torch.float32)
        torch.testing.assert_close(y, (codes / scale) @ (w_codes / w_scale).T)
        q, k, v = torch.randn(1, 4, 1, 32), torch.randn(1, 2, 1, 32), torch.randn(1, 2, 1, 32)
        keys, values = torch.randn(1, 2, 9, 32), torch.randn(1, 2, 9, 32)
        y = setun.cached_attention(q, k, v, keys, values, 5)
        self.assertTrue(torch.equal(keys[:, :, 5:6], k))
        wanted = torch.nn.functional.scaled_dot_product_attention(q, keys[:, :, :6], values[:, :, :6], enable_gqa=True)
        torch.testing.assert_close(y, wanted.transpose(1, 2).reshape(1, 1, 128))

    def test_kv_codes_are_the_formula(self):
        h = torch.randn(3, 4, 32)
        for bits in (3, 4, 8):
            codes, scale = setun.quantize_kv(h, bits, EPS)
            top = 2 ** (bits - 1) - 1
            wanted = h.abs().amax(-1, keepdim=True).clamp_min(EPS) / torch.tensor(float(top))
            self.assertTrue(torch.equal(scale, wanted))
            self.assertTrue(torch.equal(codes, (h / wanted).round().clamp(-top - 1, top).to(torch.int8)))
            self.assertTrue(torch.equal(setun.fake_quantize_kv(h, bits, EPS), codes * scale))
            codes, scale, minimum = setun.quantize_kv_asymmetric(h, bits, EPS)
            self.assertTrue(torch.equal(minimum, h.amin(-1, keepdim=True)))
            self.assertTrue(torch.equal(codes, ((h - minimum) / scale).round().clamp(0, 2**bits - 1).to(torch.uint8)))
            self.assertTrue(torch.equal(setun.fake_quantize_kv_asymmetric(h, bits, EPS), minimum + codes * scale))

    def test_other_weight_codes_are_their_formulas(self):
        w = torch.randn(12, 64) * 0.02
        codes, scale = setun.quantize_absmedian(w, 64, EPS)
        self.assertTrue(torch.equal(scale, w.abs().median(-1, keepdim=True).values))
        self.assertTrue(torch.equal(codes, (w * (1 / scale)).round().clamp(-1, 1).to(torch.int8)))
        codes, scale = setun.quantize_binary(w, 0)
        self.assertTrue(torch.equal(codes, torch.where(w > w.mean(), 1, -1).to(torch.int8)))
        torch.testing.assert_close(scale, w.abs().mean().reshape(1, 1))
        u = setun.counter_uniform(w.numel(), 3).reshape(w.shape)
        codes, scale = setun.quantize_absmean_stochastic(w, u, 0, EPS)
        self.assertTrue(torch.equal(codes, (w.sign() * (w.abs() * (1 / scale) >= u)).to(torch.int8)))

    def test_masks_keep_the_largest(self):
        x = torch.randn(6, 128)
        for mask, rows, kept in ((setun.topk_mask(x, 50), x, 50), (setun.nm_mask(x, 16, 32), x.reshape(-1, 32), 16)):
            wanted = torch.zeros_like(rows, dtype=torch.bool)
            wanted.scatter_(-1, rows.abs().topk(kept).indices, True)
            self.assertTrue(torch.equal(mask.reshape(rows.shape), wanted))

    def test_hadamard_is_its_own_inverse_and_gradient(self):
        x = torch.randn(3, 192, requires_grad=True)
        y = setun.hadamard(x, 64)
        torch.testing.assert_close(setun.hadamard(y, 64), x)
        torch.testing.assert_close(y.norm(), x.norm())
        upstream = torch.randn(3, 192)
        self.assertTrue(torch.equal(torch.autograd.grad(y, x, upstream)[0], setun.hadamard(upstream, 64)))
        with self.assertRaisesRegex(RuntimeError, "block must be a power of two, got 48"):
            setun.hadamard(x, 48)

    def test_layer_norm_and_its_gradient_agree_with_torch(self):
        x = torch.randn(6, 40, requires_grad=True)
        upstream = torch.randn(6, 40)
        (got,) = torch.autograd.grad(setun.layer_norm(x, EPS), (x,), upstream)
        (want,) = torch.autograd.grad(torch.layer_norm(x, (40,), None, None, EPS), (x,), upstream)
        torch.testing.assert_close(setun.layer_norm(x, EPS), torch.layer_norm(x, (40,), None, None, EPS))
        torch.testing.assert_close(got, want)

    def test_the_integer_path_is_the_product_of_the_codes(self):
        x, w, gain = torch.randn(19, 100), torch.randn(33, 100) * 0.02, torch.randn(100)
        codes, scale, sums, factor = setun.rms_norm_quantize(x, gain, EPS, 8, EPS, 4)
        wanted = setun.quantize_absmax(setun.hadamard(setun.rms_norm(x, gain, EPS), 4), 8, EPS)
        self.assertTrue(torch.equal(codes, wanted[0]) and torch.equal(scale, wanted[1]))
        self.assertTrue(torch.equal(sums, codes.sum(-1, dtype=torch.int32)))
        torch.testing.assert_close(factor, (x.square().mean(-1, keepdim=True) + EPS).rsqrt())
        packed, w_scale, counts = setun.quantize_pack_absmean(w, 0, EPS)
        ternary = setun.quantize_absmean(w, 0, EPS)[0]
        self.assertTrue(torch.equal(setun.unpack_ternary(packed, 33, 100, torch.int8), ternary))
        self.assertEqual(counts.tolist(), [(ternary == code).sum() for code in (-1, 0, 1)])
        self.assertTrue(torch.equal(setun.quantize_pack_scaled(w, w_scale)[0], packed))
        acc = codes.to(torch.int32) @ ternary.to(torch.int32).t()
        residual = torch.randn(19, 33)
        for args, want in (((codes, None), acc * (w_scale / scale)), ((codes, residual), acc * (w_scale / scale) + residual)):
            y = setun.ternary_linear(args[0], scale, sums, packed, 33, 100, w_scale, torch.float32, args[1])
            self.assertTrue(torch.equal(y, want))
        turned = setun.transpose_ternary(packed, 33, 100)
        self.assertTrue(torch.equal(setun.unpack_ternary(turned, 100, 33, torch.float32), ternary.t().float()))
        grad, grad_scale, _ = setun.quantize_gradient_rows(x * 1e-6, True, 7)
        self.assertLess((grad - x * 1e-6 * grad_scale).abs().max().item(), 1.0001)
        small = torch.randint(-8, 8, (3, 7), dtype=torch.int8)
        self.assertTrue(torch.equal(setun.unpack_int4(setun.pack_int4(small), 7), small))

    def test_gated_activations_and_their_gradients_agree_with_torch(self):
        gate, up = torch.randn(6, 40, requires_grad=True), torch.randn(6, 40, requires_grad=True)
        upstream = torch.randn(6, 40)
        for name, act in (("silu", torch.nn.functional.silu), ("relu2", lambda g: g.relu().square())):
            got, want = setun.gated_activation(gate, up, name), act(gate) * up
            torch.testing.assert_close(got, want)
            for mine, theirs in zip(*(torch.autograd.grad(y, (gate, up), upstream) for y in (got, want))):
                torch.testing.assert_close(mine, theirs)
        with self.assertRaisesRegex(RuntimeError, 'unknown activation "gelu"; known: silu, relu2'):
            setun.gated_activation(gate, up, "gelu")

    def test_rope_rotates_pairs_and_back(self):
        x, angle = torch.randn(2, 3, 5, 8, requires_grad=True), torch.randn(5, 4)
        a, b = x[..., :4], x[..., 4:]
        want = torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)
        got, upstream = setun.rope(x, angle.cos(), angle.sin(), False), torch.randn(2, 3, 5, 8)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(setun.rope(got, angle.cos(), angle.sin(), True), x)
        torch.testing.assert_close(*(torch.autograd.grad(y, x, upstream)[0] for y in (got, want)))

    def test_autocast_keeps_types_but_for_fp16_and_arguments_that_share_one(self):
        gate, up = torch.randn(3, 16).bfloat16(), torch.randn(3, 16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.assertTrue(torch.equal(setun.gated_activation(gate, up, "silu"), setun.gated_activation(gate.float(), up, "silu")))
            codes, scale = setun.quantize_absmax(up, 8, EPS)
            self.assertEqual(setun.quantize_absmean(up.half(), 0, EPS)[1].dtype, torch.float32)
        self.assertTrue(torch.equal(codes, setun.quantize_absmax(up, 8, EPS)[0]))
        self.assertRaises(RuntimeError, setun.gated_activation, gate, up, "silu")

    def test_cross_entropy_of_rows_and_its_derivative_agree_with_torch(self):
        logits, targets = torch.randn(6, 40, requires_grad=True), torch.tensor([0, 39, 7, -100, 7, 12])
        want = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        torch.testing.assert_close(setun.cross_entropy_rows(logits.detach(), targets), want.detach())
        gradient = logits.detach().clone()
        torch.testing.assert_close(setun.cross_entropy_rows_(gradient, targets), want.detach())
        torch.testing.assert_close(gradient, torch.autograd.grad(want.sum(), logits)[0])

    def test_threads_do_not_change_a_bit(self):
        x = torch.randn(300, 257)
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append((*setun.quantize_absmax(x, 8, EPS), *setun.quantize_absmean(x, 0, EPS), setun.rms_norm(x, None, EPS)))
        for one, two in zip(*results):
            self.assertTrue(torch.equal(one, two))

    def test_bad_arguments_raise_with_what_was_expected(self):
        with self.assertRaisesRegex(RuntimeError, "bits must be 2 to 8, got 9"):
            setun.quantize_absmax(torch.randn(2, 4), 9, EPS)
        with self.assertRaisesRegex(RuntimeError, "group 3 does not divide"):
            setun.quantize_absmean(torch.randn(2, 4), 3, EPS)

    def test_meta_tensors_give_shapes(self):
        codes, scale = setun.quantize_absmean(torch.empty(6, 8, device="meta"), 4, EPS)
        self.assertEqual((codes.shape, scale.shape, codes.dtype), ((6, 8), (6, 2), torch.int8))


if __name__ == "__main__":
    unittest.main()
