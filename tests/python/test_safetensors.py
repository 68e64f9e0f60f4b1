"""The safetensors package and Setun read each other's files."""

import json
import pathlib
import struct
import tempfile
import unittest

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tiny_run import STEPS, TinyRun, setun


class Safetensors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.run_ = cls.enterClassContext(TinyRun())
        cls.checkpoint = cls.run_.folder / "checkpoints" / f"step-{STEPS:08d}"

    def test_package_reads_every_file_of_a_checkpoint(self):
        for name in ("model", "optimizer", "metrics"):
            path = self.checkpoint / f"{name}.safetensors"
            tensors = load_file(path)
            self.assertGreater(len(tensors), 0, name)
            raw = path.read_bytes()
            length = struct.unpack("<Q", raw[:8])[0]
            header = json.loads(raw[8 : 8 + length])
            header.pop("__metadata__")
            self.assertEqual(set(header), set(tensors))
            self.assertEqual((8 + length) % 8, 0)  # tensors start aligned
            for key, entry in header.items():
                begin, end = entry["data_offsets"]
                self.assertEqual(tensors[key].tobytes(), raw[8 + length + begin : 8 + length + end], key)

    def test_model_holds_the_parameters_by_name(self):
        with safe_open(self.checkpoint / "model.safetensors", framework="numpy") as file:
            self.assertEqual(file.metadata(), {"format": "pt"})
            weight = file.get_tensor("blocks.0.attn.q.weight")
        self.assertEqual(weight.shape, (32, 32))
        self.assertEqual(weight.dtype, numpy.float32)
        self.assertTrue(numpy.isfinite(weight).all())
        self.assertGreater(float(numpy.abs(weight).max()), 0)

    def test_optimizer_state_belongs_to_the_parameters(self):
        model = load_file(self.checkpoint / "model.safetensors")
        state = load_file(self.checkpoint / "optimizer.safetensors")
        for name, value in model.items():
            self.assertEqual(state[f"{name}.exp_avg"].shape, value.shape)
            self.assertEqual(state[f"{name}.exp_avg_sq"].shape, value.shape)

    def test_setun_reads_what_the_package_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "foreign.safetensors"
            save_file({"a.weight": numpy.ones((3, 5), numpy.float32), "codes": numpy.zeros(7, numpy.uint8),
                       "half": numpy.ones((2,), numpy.float16)}, path)
            text = setun("inspect", path)
        for expected in ("a.weight", "F32 [3, 5]", "U8 [7]", "F16 [2]", "3 tensors"):
            self.assertIn(expected, text)


if __name__ == "__main__":
    unittest.main()
