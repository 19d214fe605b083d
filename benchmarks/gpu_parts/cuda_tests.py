"""The tests that need a GPU, which are skipped elsewhere."""

import re
import subprocess
import sys
import time

from benchmarks.harness.figure import Figure
from benchmarks.harness.process import ROOT

from .bench import Bench

MARK = "mark.cuda"


def run(bench: Bench) -> None:
    """Run the tests marked `cuda`, and record how many passed, failed and were skipped."""
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text("utf-8")]
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-m", "cuda", *files]
    seconds = max(bench.deadline - time.monotonic(), 1)
    output = bench.attempt(
        "tests marked cuda",
        lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=seconds).stdout,
    )
    if output is None:
        return
    print(output, flush=True)
    counts = count_outcomes(output)
    bench.record(*(Figure("tests marked cuda", outcome, "", number) for outcome, number in counts.items()))
    for test in re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE):
        bench.skip(test, "the test failed")


def count_outcomes(output: str) -> dict[str, int]:
    """Return the numbers of passed, failed and skipped tests in the last line of pytest's output."""
    last_line = output.strip().rpartition("\n")[2]
    numbers = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last_line)}
    failed = numbers.get("failed", 0) + numbers.get("error", 0) + numbers.get("errors", 0)
    return {"passed": numbers.get("passed", 0), "failed": failed, "skipped": numbers.get("skipped", 0)}
