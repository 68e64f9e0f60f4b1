"""One tiny training run of the real program, shared by the Python tests: `with TinyRun() as run: run.folder`.

The program is SETUN_BINARY, or build/release/setun, or build/dev/setun.
"""

import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 6

RECIPE = """
model: {hidden: 32, layers: 1, heads: 2, ffn: 48, max_context: 64}
data: {context: 32, batch: 2, document: paragraph, validation_fraction: 0.1}
optim: {lr: 1.0e-3}
quant: {default: {weight: {scheme: absmean}, activation: {scheme: absmax}}}
run: {seed: 1, steps: 6, threads: 1}
eval: {every: 2, batches: 1}
checkpoint: {every: 3}
metrics: {every: 1, layers_every: 2, tensorboard: true}
"""


def program():
    named = os.environ.get("SETUN_BINARY")
    candidates = [pathlib.Path(named)] if named else [ROOT / "build" / p / "setun" for p in ("release", "dev")]
    for path in candidates:
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"no setun program at {', '.join(map(str, candidates))}; build it or set SETUN_BINARY")


def setun(*arguments):
    return subprocess.run([program(), *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class TinyRun:
    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory()
        place = pathlib.Path(self._temporary.name)
        (place / "recipe.yaml").write_text(RECIPE)
        words = ["king", "river", "stone", "light", "of", "the", "and", "went"]
        text = "\n\n".join(" ".join(words[(i * 7 + j * j) % 8] for j in range(40)) for i in range(60))
        (place / "text.txt").write_text(text)
        self.folder = place / "run"
        setun("train", place / "recipe.yaml", f"data.text={place}/text.txt", f"data.cache={place}/cache",
              f"run.output={self.folder}")
        return self

    def __exit__(self, *_):
        self._temporary.cleanup()
