"""The tensorboard package reads a run's event file, and finds in it what metrics.jsonl, eval.jsonl and layers.jsonl say."""

import json
import unittest

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tiny_run import STEPS, TinyRun


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TensorBoard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.run_ = cls.enterClassContext(TinyRun())
        cls.events = EventAccumulator(str(cls.run_.folder / "tensorboard"))
        cls.events.Reload()

    def check_series(self, tag, points):
        self.assertGreater(len(points), 0, tag)
        read = self.events.Scalars(tag)
        self.assertEqual([event.step for event in read], [step for step, _ in points], tag)
        # Event files hold fp32.
        self.assertEqual([event.value for event in read], [float(numpy.float32(v)) for _, v in points], tag)

    def test_file_version(self):
        self.assertEqual(self.events.file_version, 2.0)

    def test_wall_time_is_now(self):
        import time

        for event in self.events.Scalars("train/loss"):
            self.assertLess(abs(event.wall_time - time.time()), 600)

    def test_steps(self):
        rows = records(self.run_.folder / "metrics.jsonl")
        self.assertEqual(len(rows), STEPS)
        for column in rows[0]:
            points = [(row["step"], row[column]) for row in rows if row[column] is not None]
            if not points:  # auxiliary_loss of a dense model
                self.assertNotIn(f"train/{column}", self.events.Tags()["scalars"])
            elif column != "step":
                self.check_series(f"train/{column}", points)

    def test_evaluations(self):
        rows = records(self.run_.folder / "eval.jsonl")
        self.assertEqual([row["step"] for row in rows], [2, 4, 6])
        for column in ("loss", "perplexity", "bits_per_byte"):
            self.check_series(f"validation/{column}", [(row["step"], row[column]) for row in rows])

    def test_layers(self):
        rows = records(self.run_.folder / "layers.jsonl")
        names = {row["layer"] for row in rows}
        self.assertIn("blocks.0.attn.q", names)
        for name in names:
            for column in ("minus", "zero", "plus", "flip_rate", "scale", "clip_share", "input_zeros", "grad_norm"):
                points = [(r["step"], r[column]) for r in rows if r["layer"] == name and r[column] is not None]
                self.check_series(f"layer_{column}/{name}", points)

    def test_nothing_else(self):
        groups = {tag.split("/")[0] for tag in self.events.Tags()["scalars"]}
        layers = ("minus", "zero", "plus", "flip_rate", "scale", "clip_share", "input_zeros", "grad_norm")
        self.assertEqual(groups, {"train", "validation", *(f"layer_{column}" for column in layers)})


if __name__ == "__main__":
    unittest.main()
