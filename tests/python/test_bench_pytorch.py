"""The arms of scripts/bench_pytorch that need PyTorch alone: each trains, and BitLinear's weights are ternary."""

import unittest

import torch

from bench_script import load

RECIPE = {
    "model": {"hidden": 32, "ffn": 48, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 0, "vocab_size": 41,
              "norm": {"eps": 1e-5, "placement": "subln"}, "rope_base": 10000, "ffn_kind": "swiglu"},
    "data": {"batch": 2, "context": 12},
}


class BenchPyTorch(unittest.TestCase):
    def test_every_arm_takes_steps(self):
        bench = load("bench_pytorch")
        arms = {name: options for name, options in bench.ARMS.items() if not options.get("torchao")}
        self.assertEqual(len(arms), 5)
        for name, options in arms.items():
            with self.subTest(name):
                step = bench.make_arm(RECIPE, **options)
                self.assertGreater(bench.timed(step), 0)
                self.assertGreater(bench.timed(step), 0)

    def test_the_detach_trick_multiplies_ternary_weights_and_trains_the_latent(self):
        linear = load("bench_pytorch").linear_type(bit_linear=True)(16, 8, bias=False)
        y = linear(torch.eye(16))
        scale = linear.weight.abs().mean()
        self.assertEqual(set((y / scale).round().unique().tolist()) - {-1.0, 0.0, 1.0}, set())
        torch.testing.assert_close((y / scale).round() * scale, y)
        y.sum().backward()
        self.assertTrue(bool((linear.weight.grad != 0).all()))


if __name__ == "__main__":
    unittest.main()
