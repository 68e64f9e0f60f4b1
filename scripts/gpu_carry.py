"""The tree that scripts/gpu_check --pack makes for a machine without network or build tools, and how its program starts there.

Carried: the programs, every shared library of theirs that is neither the C and C++ run-time's nor the torch wheel's, one
recipe with its fragments and text, the committed hashes, these scripts. LibTorch comes from the wheel installed there.
"""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "carried.json"  # exists in a carried tree only
LIMIT = 64 << 20  # bytes of a carried tree
TEXT_BYTES = 1 << 20
KERNEL_PROGRAMS = ["kernel_tests_gpu", "kernel_bench"]
SCRIPTS = ["gpu_check", "gpu_carry.py", "gpu_report.py", "gpu_train.py"]
RECIPE = "recipes/quickstart.yaml"
RUNTIME = re.compile(r"(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libutil|libresolv|libstdc\+\+|libgcc_s)\.so(\.|$)")


class Refused(Exception):
    """Something is missing or does not fit; the message says what was expected and the remedy."""


class Torch(NamedTuple):
    folder: Path
    version: str

    def libraries(self):
        """The wheel's folders of shared libraries: its own, and those of the packages that pip installs beside it."""
        return [self.folder / "lib", *sorted(self.folder.parent.glob("nvidia/*/lib"))]


def torch_in(folder):
    for name, pattern in (("version.py", r"__version__ = '([^']+)'"), ("build-version", r"(\S+)")):
        file = folder / name
        found = re.search(pattern, file.read_text(errors="replace")) if file.is_file() else None
        if found:
            break
    else:
        raise Refused(f"{folder}: holds no LibTorch (no version.py or build-version); pass --torch FOLDER, the torch folder of a wheel")
    for part in ("libtorch_cpu.so", "libtorch_cuda.so"):
        if not (folder / "lib" / part).exists():
            raise Refused(f"{folder}: torch {found[1]} has no lib/{part}; install the torch wheel with CUDA, or pass --torch FOLDER")
    return Torch(folder, found[1])


def installed_torch():
    """The torch that this Python would import, without importing it: that takes seconds and loads other libraries."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise Refused(f"{sys.executable} has no torch: start gpu_check with the Python it is installed in, or pass --torch FOLDER")
    return torch_in(Path(list(spec.submodule_search_locations)[0]))


def built_with(program):
    """The torch that a build folder was configured with."""
    cache = program.parent / "CMakeCache.txt"
    found = re.search(r"^SETUN_LIBTORCH:\w+=(.+)$", cache.read_text(errors="replace"), re.M) if cache.is_file() else None
    if not found:
        raise Refused(f"{program.parent}: no CMakeCache.txt names its LibTorch; pass --torch FOLDER")
    return torch_in(Path(found[1]))


def manifest():
    try:
        read = json.loads(MANIFEST.read_text())
        if not all(isinstance(read[key], str) for key in ("torch", "glibc", "glibcxx")):
            raise ValueError
        return read
    except (OSError, ValueError, TypeError, KeyError):
        raise Refused(f"{MANIFEST}: damaged; unpack the archive again") from None


def same_torch(wanted, torch):
    """LibTorch's C++ interface holds within one major.minor."""
    if wanted.split(".")[:2] != torch.version.split(".")[:2]:
        raise Refused(f"{torch.folder}: torch {torch.version}, but the program was built for {wanted}; install torch "
                      f"{'.'.join(wanted.split('.')[:2])}, or build and pack with -DSETUN_LIBTORCH=<that torch>")


def numbers(version):
    return tuple(int(number) for number in re.findall(r"\d+", version))


def fitting_runtime():
    """Says what the carried programs need of this machine's C library, or refuses."""
    wanted = manifest()
    try:
        here = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[-1:]
    except (OSError, ValueError):
        here = []
    if not here:
        raise Refused(f"this machine's C library is not glibc; the programs need glibc {wanted['glibc']} or newer")
    if numbers(here[0]) < numbers(wanted["glibc"]):
        raise Refused(f"this machine has glibc {here[0]}, the programs need {wanted['glibc']}: build and pack on an older system")
    return (f"glibc {here[0]} here, {wanted['glibc']} needed; libstdc++ with GLIBCXX_{wanted['glibcxx']} needed; "
            f"built for torch {wanted['torch']}")


def environment(folders):
    """This process's variables with the folders first on the loader's path."""
    before = os.environ.get("LD_LIBRARY_PATH", "")
    return dict(os.environ, LD_LIBRARY_PATH=":".join([*map(str, folders), *([before] if before else [])]))


def output_of(command, env=None):
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace",
                              env=dict(env or os.environ, LC_ALL="C"))
    except OSError as problem:
        raise Refused(f"{command[0]}: {problem.strerror}; packing needs readelf and strip (apt-get install binutils)") from None
    if done.returncode != 0:
        raise Refused(f"{command[0]} failed (exit {done.returncode}): {done.stderr.strip()[-500:]}")
    return done.stdout


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output_of(["readelf", "-dW", path]))


def version_needs(path, prefix):
    """The newest version of one kind of symbol that a file asks for, e.g. GLIBC; empty: none."""
    found = re.findall(rf"Name: {prefix}_(\d[\d.]*)", output_of(["readelf", "-VW", path]))
    return max(found, key=numbers, default="")


def loaded(program, env):
    """Name and path of each library the loader finds for a program."""
    listed = output_of([program], env=dict(env, LD_TRACE_LOADED_OBJECTS="1"))
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", listed, re.M))


def libraries_of(program, torch):
    """Every shared library to carry: what the program and its libraries name, less the run-time's and the wheel's."""
    theirs = {file.name for folder in torch.libraries() for file in folder.glob("*.so*")}
    paths = loaded(program, environment(torch.libraries()))
    carried, queue = {}, [program]
    while queue:
        for name in needed(queue.pop()):
            if name in carried or name in theirs or RUNTIME.match(name):
                continue
            if name not in paths:
                raise Refused(f"{program}: needs {name}, which the loader does not find; install it and build again")
            carried[name] = Path(paths[name]).resolve()
            queue.append(carried[name])
    return carried


def put(source, target, origin):
    """Copies a program or library, without symbols that only a debugger reads; the build's folders go from its search path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    output_of(["strip", "--strip-unneeded", target])
    for path in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", output_of(["readelf", "-dW", target])):
        if len(path) < len(origin):
            raise Refused(f"{source}: its search path {path!r} has no room for {origin!r}")
        data = target.read_bytes()
        old, new = b"\0" + path.encode() + b"\0", b"\0" + origin.encode().ljust(len(path.encode()), b"\0") + b"\0"
        target.write_bytes(data.replace(old, new))
    left = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.+)\]", output_of(["readelf", "-dW", target]))
    if left not in ([], [origin]):
        raise Refused(f"{target}: its search path is still {left}, expected {origin}")


def real_text(target):
    """The first MiB of the text that the recipe trains on, whole lines."""
    fetched = subprocess.run([str(ROOT / "scripts/data/kjv")], capture_output=True, text=True)
    if fetched.returncode != 0:
        raise Refused(f"data/kjv.txt: {fetched.stderr.strip()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "data/kjv.txt").read_bytes()[:TEXT_BYTES]
    target.write_bytes(text[: text.rfind(b"\n") + 1])


def stage(kernels, program, tree):
    """Fills a folder with what the archive holds; returns its manifest."""
    torch = built_with(program)
    for name in KERNEL_PROGRAMS:
        put(kernels / name, tree / "bin" / name, "")
    put(program, tree / "bin/setun", "$ORIGIN/../lib")
    for name, path in libraries_of(program, torch).items():
        put(path, tree / "lib" / name, "$ORIGIN")
    for name in ("tests/cuda/hashes.txt", RECIPE, *(f"scripts/{script}" for script in SCRIPTS)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(ROOT / "configs", tree / "configs")
    real_text(tree / "data/kjv.txt")
    needs = {file.name: {kind: version_needs(file, kind) for kind in ("GLIBC", "GLIBCXX")}
             for folder in ("bin", "lib") for file in sorted((tree / folder).iterdir())}
    newest = {kind: max((need[kind] for need in needs.values()), key=numbers) for kind in ("GLIBC", "GLIBCXX")}
    made = {"torch": torch.version, "glibc": newest["GLIBC"], "glibcxx": newest["GLIBCXX"], "needs": needs}
    (tree / "carried.json").write_text(json.dumps(made, indent=1) + "\n")
    return made


def pack(kernels, program, target, say):
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "setun_gpu"
        made = stage(kernels, program, tree)
        size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
        if size > LIMIT:
            raise Refused(f"the carried tree has {size / 2**20:.1f} MiB, at most {LIMIT >> 20}")
        with tarfile.open(target, "w:gz") as tar:
            tar.add(tree, "setun_gpu")
    for name, need in made["needs"].items():
        say(f"  {name}: glibc {need['GLIBC'] or 'any'}" + (f", GLIBCXX_{need['GLIBCXX']}" if need["GLIBCXX"] else ""))
    say(f"packed {target}: {size / 2**20:.1f} MiB unpacked, {target.stat().st_size / 2**20:.1f} packed; needs glibc {made['glibc']}, libstdc++ "
        f"with GLIBCXX_{made['glibcxx']}, and the torch wheel {made['torch']} (LibTorch, libcublasLt.so.13)")
    say("there: tar xf FILE && python3 setun_gpu/scripts/gpu_check, with the Python that torch is installed in")
