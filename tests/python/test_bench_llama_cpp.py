"""scripts/bench_llama_cpp without llama.cpp: arguments, what it refuses, the file's tensors, the order of measurements."""

import contextlib
import copy
import io
import pathlib
import sys
import types
import unittest
from unittest import mock

from bench_script import load

RECIPE = {
    "model": {"kind": "decoder", "hidden": 256, "ffn": 512, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 0, "vocab_size": 41,
              "norm": {"eps": 1e-5, "placement": "subln", "kind": "rms"}, "rope_base": 10000, "ffn_kind": "swiglu",
              "tied_embeddings": True, "moe": {"experts": 0}},
    "data": {"batch": 2, "context": 12},
}


class FakeArm:
    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def seconds(self):
        self.calls.append(self.name)
        return [float(len(self.calls)), 0.5]


class BenchLlamaCpp(unittest.TestCase):
    def setUp(self):
        self.bench = load("bench_llama_cpp")

    def refusal(self, body, *arguments):
        error = io.StringIO()
        with contextlib.redirect_stderr(error), self.assertRaises(SystemExit) as ended:
            body(*arguments)
        return error.getvalue() + str(ended.exception.code)

    def test_arguments(self):
        made = self.bench.parse(["recipe.yaml", "run.threads=1", "--head", "q8_0", "--tokens", "8", "model.layers=3"])
        self.assertEqual((made.recipe, made.overrides, made.head, made.tokens, made.prompt),
                         ("recipe.yaml", ["run.threads=1", "model.layers=3"], "q8_0", 8, 256))
        self.assertIn("--prompt must be at least 1", self.refusal(self.bench.parse, ["recipe.yaml", "--prompt", "0"]))
        self.assertIn("invalid choice: 'q4_0'", self.refusal(self.bench.parse, ["recipe.yaml", "--head", "q4_0"]))
        self.assertIn("recipe", self.refusal(self.bench.parse, []))

    def test_a_missing_package_is_named_with_the_command_that_installs_it(self):
        self.bench.PYTHON = pathlib.Path("/nowhere/python")
        present = {"gguf": types.ModuleType("gguf"), "yaml": types.ModuleType("yaml")}
        with mock.patch.dict(sys.modules, {**present, "llama_cpp": None}):
            message = self.refusal(self.bench.use_environment)
        self.assertIn("llama_cpp is not installed", message)
        self.assertIn("pip install llama-cpp-python", message)

    def test_shapes_that_a_file_cannot_hold_are_refused_by_their_key(self):
        self.assertEqual(self.bench.check_shape(RECIPE).vocabulary, 41)
        for key, value, text in [("hidden", 260, "multiples of 256"), ("tied_embeddings", False, "model.tied_embeddings"),
                                 ("ffn_kind", "relu2_glu", "expected swiglu"), ("kind", "mlp", "only decoders"),
                                 ("norm", {"eps": 1e-5, "placement": "per_linear", "kind": "rms"}, "expected subln or prenorm"),
                                 ("norm", {"eps": 1e-5, "placement": "subln", "kind": "layer"}, "expected rms")]:
            with self.subTest(key):
                recipe = copy.deepcopy(RECIPE)
                recipe["model"][key] = value
                self.assertIn(text, self.refusal(self.bench.check_shape, recipe))

    def test_the_file_has_every_tensor_of_the_decoder(self):
        matrices, norms = self.bench.tensor_shapes(self.bench.check_shape(RECIPE))
        self.assertEqual(len(matrices), 2 * 7)
        self.assertEqual(matrices["blk.1.attn_k.weight"], (128, 256))
        self.assertEqual(matrices["blk.0.ffn_down.weight"], (256, 512))
        self.assertEqual(sorted(norms), ["blk.0.attn_norm", "blk.0.attn_sub_norm", "blk.0.ffn_norm", "blk.0.ffn_sub_norm",
                                         "blk.1.attn_norm", "blk.1.attn_sub_norm", "blk.1.ffn_norm", "blk.1.ffn_sub_norm",
                                         "output_norm"])
        self.assertEqual(norms["blk.1.ffn_sub_norm"], 512)

    def test_arms_take_turns_and_the_first_round_does_not_count(self):
        calls = []
        arms = {name: FakeArm(name, calls) for name in ("setun", "llama")}
        with mock.patch("time.sleep"):
            seconds = self.bench.measure(arms, 3)
        self.assertEqual(calls, ["setun", "llama"] * 4)
        self.assertEqual(seconds["setun"][0], [3.0, 5.0, 7.0])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            rows = self.bench.report(seconds, self.bench.parse(["r", "--prompt", "12", "--tokens", "10"]))
        self.assertEqual([row["speed_up"] for row in rows], [6 / 5, 1, 1, 1])
        self.assertEqual(rows[2]["tokens_per_second"], 20)
        self.assertIn("generation", out.getvalue())


if __name__ == "__main__":
    unittest.main()
