"""What scripts/gpu_check makes of recorded numbers: kernel times beside their floors, loss curves beside each other.

Pure: starts no program, needs no GPU. Tested by tests/scripts/test_gpu_check on recorded samples and curves.
"""
import csv
import json
import math

BYTES_PER_US, INT8_PER_US, BF16_PER_US = 3.35e6, 1979e6, 989e6  # an H100 SXM's data sheet

# Bounds between two devices' losses, relative. Devices round apart, then a ternary code flips: one moves a loss by up to
# 2e-3 in ten steps (docs/results/cuda.md has what the CPU's own roundings and what planted mistakes do).
FIRST, EACH, TAIL, TAIL_STEPS = 1e-4, 5e-3, 2e-3, 10


class BadInput(Exception):
    """Recorded numbers that are missing, damaged or incomplete; the message says what and where."""


def floor_us(kernel, m, n, k):
    """The roofline of a kernel: bytes it must move, products it must make."""
    if kernel.startswith("norm"):
        per = 2.5 if kernel.endswith("int4") else 3
        return per * m * k / BYTES_PER_US
    per_weight = {"absmean_pack": 8.25, "adamw": 28, "sum_of_squares": 4}
    if kernel in per_weight:
        return per_weight[kernel] * n * k / BYTES_PER_US
    per_value = {"rope": 4, "swiglu": 6, "swiglu_backward": 10, "dequantize": 3, "cross_entropy": 4}
    if kernel in per_value:
        return per_value[kernel] * m * n / BYTES_PER_US
    operand, weight = {"cublaslt_bf16": (2, 2), "cublaslt_int8": (1, 1), "w2a4_matrix": (0.5, 0.25)}.get(kernel, (1, 0.25))
    result = 4 if kernel == "cublaslt_int8" else 2
    memory = (weight * n * k + operand * m * k + result * m * n) / BYTES_PER_US
    rate = BF16_PER_US if kernel == "cublaslt_bf16" else INT8_PER_US
    return max(memory, 2 * m * n * k / rate)


def read_text(path):
    try:
        return path.read_text(errors="replace")
    except OSError as problem:
        raise BadInput(f"{path}: {problem.strerror}") from None


def read_samples(path):
    """(kernel, m, n, k, microseconds) of each line that kernel_bench printed."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            (kernel, m, n, k, us), = csv.reader([line])
            row = (kernel, int(m), int(n), int(k), float(us))
        except (ValueError, csv.Error):
            row = None
        if row is None or not math.isfinite(row[4]) or row[4] <= 0 or min(row[1:4]) < 0 or floor_us(*row[:4]) <= 0:
            raise BadInput(f"{path}:{number}: expected kernel,m,n,k,microseconds, got {line[:80]!r}")
        rows.append(row)
    if not rows:
        raise BadInput(f"{path}: holds no sample; expected lines of kernel,m,n,k,microseconds as kernel_bench prints them")
    return rows


def kernel_table(samples):
    """A Markdown table of the samples, with the ratio to cuBLASLt's bf16 product of the same shape."""
    rows = read_samples(samples)
    bf16 = {row[1:4]: row[4] for row in rows if row[0] == "cublaslt_bf16"}
    lines = ["| kernel | M | N | K | us | floor us | time / floor | bf16 time / time |", "|---|---|---|---|---|---|---|---|"]
    for kernel, m, n, k, time in rows:
        floor, against = floor_us(kernel, m, n, k), bf16.get((m, n, k))
        ratio = f"{against / time:.2f}" if against and kernel.startswith("w2") else ""
        lines.append(f"| {kernel} | {m} | {n} | {k} | {time:.2f} | {floor:.2f} | {time / floor:.1f} | {ratio} |")
    return "\n".join(lines) + "\n"


def record(line):
    """(step, loss, tokens, seconds) of a line of metrics.jsonl; None where it is not one."""
    try:
        row = json.loads(line)
        values = [row[key] for key in ("step", "loss", "tokens", "seconds")]
        # A loss that is not finite is written as null.
        return [math.nan if value is None else float(value) for value in values]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def read_curve(path, steps):
    """The records of steps 1 to steps, one each, every loss finite."""
    curve = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        row = record(line)
        if row is None:
            raise BadInput(f"{path}:{number}: expected a record with step, loss, tokens and seconds, got {line[:80]!r}")
        if row[0] != number:
            raise BadInput(f"{path}:{number}: expected step {number}, got {row[0]:g}")
        if not math.isfinite(row[1]):
            raise BadInput(f"{path}:{number}: the loss of step {number} is not finite")
        curve.append(row)
    if len(curve) != steps:
        raise BadInput(f"{path}: ends at step {len(curve)}, expected {steps} steps")
    return curve


def difference(cpu, cuda):
    return abs(cuda - cpu) / max(abs(cpu), 1e-30)


def compare(cpu, cuda):
    """Each bound that two curves break, in words; none where they match."""
    if len(cpu) != len(cuda) or not cpu:
        return [f"the curves have {len(cpu)} and {len(cuda)} steps, expected as many and at least one"]
    a, b = [row[1] for row in cpu], [row[1] for row in cuda]
    problems = []
    if difference(a[0], b[0]) > FIRST:
        problems.append(f"step 1: {a[0]:.6f} and {b[0]:.6f} differ by {difference(a[0], b[0]):.1e}, at most {FIRST:.0e}")
    apart = [i for i in range(len(a)) if difference(a[i], b[i]) > EACH]
    if apart:
        i = max(apart, key=lambda i: difference(a[i], b[i]))
        problems.append(f"of {len(a)} steps {len(apart)} differ by more than {EACH:.0e}, the first is step {apart[0] + 1}, the worst step {i + 1}: "
                        f"{a[i]:.6f} and {b[i]:.6f} differ by {difference(a[i], b[i]):.1e}")
    tail = difference(*(sum(losses[-TAIL_STEPS:]) / len(losses[-TAIL_STEPS:]) for losses in (a, b)))
    if tail > TAIL:
        problems.append(f"the means of the last {TAIL_STEPS} steps differ by {tail:.1e}, at most {TAIL:.0e}")
    return problems


def speed(curve):
    """Tokens per second of the second half of a run."""
    (_, _, tokens, seconds), (_, _, last_tokens, last_seconds) = curve[len(curve) // 2 - 1], curve[-1]
    return (last_tokens - tokens) / (last_seconds - seconds) if last_seconds > seconds else math.nan


def curve_table(cpu, cuda):
    """A Markdown table of a few steps, then the largest difference and both speeds."""
    last, chosen = len(cpu), {1, 2, 5}
    chosen |= {round(last * tenth / 10) for tenth in range(1, 11)}
    lines = ["| step | CPU loss | CUDA loss | difference |", "|---|---|---|---|"]
    for step in sorted(step for step in chosen if 1 <= step <= last):
        a, b = cpu[step - 1][1], cuda[step - 1][1]
        lines.append(f"| {step} | {a:.6f} | {b:.6f} | {difference(a, b):.1e} |")
    worst = max(difference(x[1], y[1]) for x, y in zip(cpu, cuda))
    lines.append(f"\nLargest difference {worst:.1e}. Tokens/s in the second half: CPU {speed(cpu):.0f}, CUDA {speed(cuda):.0f}.")
    return "\n".join(lines) + "\n"
