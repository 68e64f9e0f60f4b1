"""scripts/gpu_check --rehearse: packs, unpacks elsewhere, and plays the other machine there, up to where a GPU is needed.

The other machine's part runs with emptied variables and the torch wheel of .setun/python (or of this Python).
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import gpu_carry
import gpu_train
from gpu_carry import ROOT, RUNTIME, Refused

STEPS = 12
EMPTY = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def other_python():
    ours = ROOT / ".setun/python/bin/python"
    return str(ours if ours.exists() else sys.executable)


def other_torch(python):
    """The torch folder that a Python names, found as the carried scripts find it there."""
    script = f"import sys; sys.path.append({str(ROOT / 'scripts')!r}); import gpu_carry; print(gpu_carry.installed_torch().folder)"
    done = subprocess.run([python, "-B", "-c", script], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"{python} has no torch wheel with CUDA: scripts/setup --tests installs one in .setun/python")
    return gpu_carry.torch_in(Path(done.stdout.strip()))


def foreign(paths, there, torch):
    """The libraries that are neither carried, nor the wheel's, nor the system's C and C++ run-time."""
    own = [there.resolve(), torch.folder.resolve(), (torch.folder.parent / "nvidia").resolve()]
    return sorted(path for path in paths if not any(Path(path).resolve().is_relative_to(folder) for folder in own)
                  and not (RUNTIME.match(Path(path).name) and re.match(r"/(usr/)?lib", path)))


def mapped_while_training(place):
    """Every shared library in a training run's memory, read while it runs."""
    facts = [f"data.text={place.text}", f"data.cache={place.out / 'cache'}", f"run.output={place.out / 'mapped'}", "run.steps=4"]
    command = [str(place.program), "train", gpu_carry.RECIPE, *gpu_train.COMMON, *facts]
    process = subprocess.Popen(command, cwd=place.text.parent.parent, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    found = set()
    while process.poll() is None:
        try:
            maps = Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:
            maps = ""
        found |= set(re.findall(r"(/\S*\.so(?:\.[0-9.]+)?)$", maps, re.M))
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    if process.returncode != 0:
        raise Refused(f"the carried program does not train: {process.stderr.read().strip()[-1000:]}")
    return found


def openmp_runtimes(place):
    """The libraries that any OpenMP call from another library is bound to."""
    env = dict(place.env, LD_DEBUG="bindings", LD_BIND_NOW="1")
    done = subprocess.run([str(place.program), "--version"], env=env, capture_output=True, text=True, errors="replace")
    calls = re.findall(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(?:GOMP_|omp_|__kmpc_)", done.stderr)
    return {Path(called).resolve() for caller, called in calls if caller != called}


def libraries(there, torch, out, say):
    """Fails if anything but the carried tree, the wheel and the run-time is loaded, or if two OpenMP runtimes serve."""
    out.mkdir(parents=True, exist_ok=True)
    env = dict(EMPTY, LD_LIBRARY_PATH=":".join(map(str, [there / "lib", *torch.libraries()])))
    place = gpu_train.Place(there / "bin/setun", there / "data/kjv.txt", env, out)
    paths = set(gpu_carry.loaded(place.program, env).values()) | mapped_while_training(place)
    alien = foreign(paths, there, torch)
    if alien:
        raise Refused("the carried program loads what it may not: " + ", ".join(alien))
    carried = sum(Path(path).resolve().is_relative_to(there.resolve()) for path in paths)
    runtimes = openmp_runtimes(place)
    if len(runtimes) != 1:
        raise Refused(f"expected one OpenMP runtime, calls go to {sorted(map(str, runtimes))}")
    say(f"libraries loaded: {carried} carried, {len(paths) - carried} of the wheel and of the C and C++ run-time, no others; every OpenMP call "
        f"goes to {runtimes.pop().name}")


def there_says(python, there, arguments):
    command = [python, str(there / "scripts/gpu_check"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=EMPTY, cwd=there.parent)
    return done.returncode, done.stdout + done.stderr


def refusals(python, there, elsewhere):
    """What the carried command says where it cannot work; a traceback never."""
    other = elsewhere / "torch"
    (other / "lib").mkdir(parents=True)
    for name in ("libtorch_cpu.so", "libtorch_cuda.so"):
        (other / "lib" / name).touch()
    (other / "version.py").write_text("__version__ = '2.4.1+cu121'\n")
    for arguments, wanted in ((["--torch", other], "torch 2.4.1+cu121, but the program was built for"),
                              (["--torch", elsewhere], "holds no LibTorch"), (["--rehearse"], "this is a carried tree"),
                              (["--samples", other / "none.csv"], "No such file"), (["--steps", 1], "expected at least 2")):
        code, said = there_says(python, there, [*arguments, "--out", elsewhere / "refused"])
        if code == 0 or wanted not in said or "Traceback" in said:
            raise Refused(f"gpu_check {' '.join(map(str, arguments))}: expected {wanted!r}, got exit {code}: {said}")


def rehearse(options):
    """Fails unless every step works up to where a GPU is needed."""
    python = other_python()
    torch = other_torch(python)
    tests = subprocess.run([python, "-B", str(ROOT / "tests/scripts/test_gpu_check")], capture_output=True, text=True)
    if tests.returncode != 0:
        raise Refused(f"tests/scripts/test_gpu_check fails:\n{tests.stderr}")
    print("recorded samples and curves: " + tests.stderr.strip().splitlines()[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = Path(folder)
        archive = elsewhere / "setun_gpu.tgz"
        gpu_carry.pack(options.bin, options.program, archive, print)
        subprocess.run(["tar", "xf", str(archive), "-C", folder], check=True)
        there = elsewhere / "setun_gpu"
        libraries(there, torch, elsewhere / "proof", print)
        refusals(python, there, elsewhere)
        code, said = there_says(python, there, ["--out", options.out, "--steps", STEPS])
    for line in said.strip().splitlines():
        print("  there: " + line)
    trained = {v.name for v in gpu_train.VARIANTS
               if re.search(rf"^training {v.name}: .*no CUDA device \(.*skipped; the CPU's loss went from \d", said, re.M)}
    good = code == 77 and trained >= {v.name for v in gpu_train.VARIANTS if not v.needs} and "bench: no CUDA device, skipped" in said
    print("rehearsed; on a GPU remain: the kernel tests, the runs on CUDA, the bench, the sanitizers" if good else
          f"rehearsal FAILED: expected exit 77 and every run on CUDA skipped for want of a device, got exit {code}")
    return 0 if good else 1
