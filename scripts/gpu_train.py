"""The training step of scripts/gpu_check: one recipe on the CPU and on CUDA, same seed, losses beside each other step by step."""
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from gpu_carry import RECIPE, ROOT, Refused
from gpu_report import EACH, FIRST, TAIL, TAIL_STEPS, BadInput, compare, curve_table, read_curve

STEPS = 60
RUN_SECONDS = 100  # of one run; it takes a few
SKIPPED = 77
# medium would mean TF32 products on CUDA. More threads than 8 do not pay at this size, and do not change a loss.
COMMON = ["run.matmul_precision=highest", f"run.threads={min(8, len(os.sched_getaffinity(0)))}", "metrics.every=1", "metrics.layers_every=0",
          "metrics.tensorboard=false", "eval.every=0", "eval.batches=8", "eval.ngram=0", "checkpoint.every=0"]


class Variant(NamedTuple):
    name: str
    both: tuple = ()  # overrides of both runs
    cuda: tuple = ()  # overrides of the run on CUDA alone
    needs: str = ""  # a key of recipes; a program without it skips the variant


VARIANTS = (
    Variant("exact"),
    Variant("int8_stochastic", both=("run.input_gradient=int8_stochastic",)),
    Variant("cuda_graph", cuda=("run.cuda_graph=true",), needs="run.cuda_graph"),
)


class Place(NamedTuple):
    program: Path
    text: Path
    env: dict
    out: Path


class NoDevice(Exception):
    """The program runs, and finds no CUDA device."""


def run(place, arguments, seconds):
    """The exit code and all that the program printed."""
    if seconds <= 0:
        raise Refused("no time was left for it")
    try:
        done = subprocess.run([str(place.program), *arguments], cwd=ROOT, env=place.env, stdin=subprocess.DEVNULL, timeout=seconds,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        raise Refused(f"setun {arguments[0]} was stopped after {seconds:.0f} s") from None
    except OSError as problem:
        raise Refused(f"{place.program}: {problem.strerror}") from None
    return done.returncode, done.stdout


def last_line(text):
    return (text.strip().splitlines() or ["it printed nothing"])[-1]


def train(place, name, overrides, steps, seconds):
    """The curve of one run."""
    folder = place.out / name
    shutil.rmtree(folder, ignore_errors=True)  # train would resume it
    facts = [f"data.text={place.text}", f"data.cache={place.out / 'cache'}", f"run.output={folder}", f"run.steps={steps}"]
    code, said = run(place, ["train", RECIPE, *COMMON, *facts, *overrides], seconds)
    (place.out / f"{name}.log").write_text(said)
    if code != 0 and "run.device: cuda: no CUDA device (" in said:
        raise NoDevice(last_line(said))
    if code != 0:
        raise Refused(f"exit {code}: {last_line(said)} ({place.out / name}.log)")
    return read_curve(folder / "metrics.jsonl", steps)


def variants_of(place, say):
    """The variants that this program knows."""
    code, reference = run(place, ["config", "reference"], 60)
    if code != 0:
        raise Refused(f"{place.program} does not start: {last_line(reference)}")
    for variant in VARIANTS:
        if variant.needs and f"`{variant.needs}`" not in reference:
            say(f"training {variant.name}: skipped, this program has no {variant.needs}")
        else:
            yield variant


def both_runs(place, variant, steps, clock, cpu_runs):
    if variant.both not in cpu_runs:
        overrides = ["run.device=cpu", *variant.both]
        cpu_runs[variant.both] = train(place, f"{variant.name}-cpu", overrides, steps, min(RUN_SECONDS, clock.left()))
    overrides = ["run.device=cuda", *variant.both, *variant.cuda]
    return cpu_runs[variant.both], train(place, f"{variant.name}-cuda", overrides, steps, min(RUN_SECONDS, clock.left()))


def training(place, steps, clock, say):
    """(0, 1 or 77, Markdown): trains every variant on both devices and holds the curves to the bounds."""
    place.out.mkdir(parents=True, exist_ok=True)
    status, cpu_runs = 0, {}
    text = [f"## Training: {RECIPE}, {steps} steps, CPU and CUDA\n", f"Bounds, relative: step 1 {FIRST:.0e}, every step {EACH:.0e}, the mean of the "
            f"last {TAIL_STEPS} {TAIL:.0e}.\n"]
    for variant in variants_of(place, say):
        verdict, table = "", ""
        try:
            cpu, cuda = both_runs(place, variant, steps, clock, cpu_runs)
            problems = compare(cpu, cuda)
            verdict = "FAILED: " + "; ".join(problems) if problems else "the curves match"
            table = curve_table(cpu, cuda)
        except NoDevice as problem:
            cpu = cpu_runs[variant.both]
            verdict = f"{problem}: skipped; the CPU's loss went from {cpu[0][1]:.4f} to {cpu[-1][1]:.4f}"
            status = max(status, SKIPPED)
        except (Refused, BadInput) as problem:
            verdict = f"FAILED: {problem}"
        failed = verdict.startswith("FAILED")
        status = 1 if failed or status == 1 else status
        say(f"training {variant.name}: {verdict}")
        text += [f"### {' '.join((variant.name, *variant.both, *variant.cuda))}\n", verdict + ".\n", *([table] if table else [])]
    return status, "\n".join(text)
