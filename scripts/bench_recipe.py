"""What the scripts that time other programs beside Setun share: a recipe's sizes, and Setun's arm in a process of its own."""
import subprocess
import sys
import time


def resolved_recipe(setun, recipe, overrides):
    import yaml
    command = [setun, "config", "print", "--full", recipe, *overrides]
    return yaml.safe_load(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def let_threads_sleep():
    """Between two arms: the threads of the one before spin for a while (OpenMP: 0.2 s) before they leave their cores."""
    time.sleep(0.4)


class Sizes:
    """What the decoder needs of a resolved recipe."""

    def __init__(self, recipe):
        model = recipe["model"]
        self.hidden, self.ffn, self.layers, self.heads = model["hidden"], model["ffn"], model["layers"], model["heads"]
        self.kv_heads = model["kv_heads"] or self.heads
        self.width = model["head_dim"] or self.hidden // self.heads
        self.eps, self.rope_base = float(model["norm"]["eps"]), float(model["rope_base"])
        self.subln, self.swiglu = model["norm"]["placement"] == "subln", model["ffn_kind"] == "swiglu"
        self.vocabulary = model["vocab_size"] or recipe["data"]["tokenizer"]["vocab_size"]


class SetunArm:
    """`setun bench WHAT --on-request`: one measurement for every line it is sent."""

    def __init__(self, setun, what, recipe, arguments):
        command = [setun, "bench", what, "--on-request", recipe, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline().strip()
        if not first.startswith("ready"):
            sys.exit(f"setun bench {what} --on-request said {first!r}, expected 'ready'")

    def seconds(self):
        """The numbers of one measurement."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return [float(number) for number in self.process.stdout.readline().split()]
