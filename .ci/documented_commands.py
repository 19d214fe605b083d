"""Run the commands of README.md, CONTRIBUTING.md, docs/ and datasets/README.md on this machine, and report on each.

    .venv/bin/python .ci/documented_commands.py [--limit SECONDS] [--only TEXT]

The commands run in the order of the pages, in this checkout; a fresh clone is best, because they leave their results
there. A command is skipped, and the reason reported, if it needs a published weight file, custom data, a dataset that
is not under DETECTRON2_DATASETS, more than two processes, or the output of a skipped command. All others must succeed.
The exit status is 0 if every command that ran succeeded, otherwise 1.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from documented_pages import EXPLAINED, PAGES, Command, commands, inline_commands, python_blocks, to_command  # noqa: E402

from eva_engine.commands.verbs import find_verbs  # noqa: E402

DATA = Path(os.environ.get("DETECTRON2_DATASETS", ROOT / "datasets")).expanduser().resolve()
STAGES = ("demo", "test", "lint", "bench")
MANY_PROCESSES = re.compile(r"--((num-gpus|nproc-per-node)[ =]([3-9]|\d\d)|(num-machines|nnodes)[ =]([2-9]|\d\d))")


def all_commands() -> list[Command]:
    """Return the commands and Python blocks of all pages, each once."""
    verbs = list(find_verbs())
    found: dict[tuple[str, ...], Command] = {}
    for page in PAGES:
        # Python blocks are first, because the commands may need the files that they write.
        blocks = [to_command(page, ["python", "-c", block]) for block in python_blocks(page)]
        for command in [*inline_commands(page, verbs), *blocks, *commands(page)]:
            found.setdefault(command.words, command)
    return list(found.values())


def reasons_to_skip(found: Sequence[Command], root: Path) -> dict[Command, str]:
    """Return the commands that cannot run in the folder `root`, each with the reason."""
    reasons: dict[Command, str] = {}
    # A skipped command may make others impossible, so repeat until nothing changes.
    while True:
        written: set[str] = set()
        lost: set[str] = set()
        for command in found:
            (lost if command in reasons else written).update(command.writes)
        lost -= written
        new = {}
        for command in found:
            reason = _reason(command, lost, root)
            if reason:
                new[command] = reason
        if new.keys() == reasons.keys():
            return reasons
        reasons = new


def _reason(command: Command, lost: set[str], root: Path) -> str:
    if command.starter == ("make",) and command.name in STAGES:
        return "is a stage of .ci/run"
    if (command.name, *command.arguments) == ("demo-detection", "--output", "output/demo"):
        return "is run by make demo"
    if any(word.endswith(".py") and not (root / word).exists() for word in command.words):
        return ""  # a recipe or script that does not exist is an error of the page: let the command fail
    if MANY_PROCESSES.search(" ".join(command.words)):
        return "needs more than two processes"
    is_python = command.starter[-1] == "-c"
    files = re.findall(r"[\"']([^\"'\s]+)[\"']", command.name) if is_python else command.reads
    for file in files:
        if (root / file).exists():
            continue
        if file in EXPLAINED:
            return f"needs {EXPLAINED[file]}"
        if any(file == folder or file.startswith(f"{folder}/") for folder in lost):
            return "needs the output of a skipped command"
    return ""


def run(command: Command, root: Path, limit: float) -> tuple[str, str]:
    """Run a command; return "ran", "FAILED" or a reason why it could not run, and a detail to print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DETECTRON2_DATASETS": str(DATA)}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command.words, cwd=root, env=environment, stdout=out, stderr=err, stdin=subprocess.DEVNULL, process_group=0
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return "FAILED", f"not done after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        out.seek(0)
        err.seek(0)
        return outcome(command, status, out.read(), err.read(), time.monotonic() - start)


def outcome(command: Command, status: int, out: str, err: str, seconds: float) -> tuple[str, str]:
    """Return the result of `run` for a command that has ended."""
    # A memory plan that does not fit the given GPU ends with status 1.
    exceeds_memory = command.name == "plan" and status == 1 and re.search(r"^It does not fit .* GB\.$", out, re.M)
    if status == 0 or (exceeds_memory and "Traceback" not in err):
        return "ran", f"{seconds:.0f} s"
    sentence = re.findall(r"^error: .*", err, re.M)
    missing = re.search(rf"{re.escape(str(DATA))}/[\w./-]*\w", sentence[-1]) if sentence else None
    if status == 2 and missing and not Path(missing[0]).exists():
        return "needs a dataset", missing[0]
    return "FAILED", f"status {status}: " + "\n    ".join(err.strip().splitlines()[-8:])


def main() -> int:
    """Run all commands, print the results and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--limit", type=float, default=600, metavar="SECONDS", help="time limit per command, default: %(default)s"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="run only commands that contain TEXT")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # run() then kills the command that is running
    found = all_commands()
    reasons = reasons_to_skip(found, ROOT)
    counts = Counter[str]()
    for command in found:
        if args.only not in str(command):
            continue
        if command in reasons:
            result, detail = reasons[command], ""
        else:
            result, detail = run(command, ROOT, args.limit)
        counts[result] += 1
        print(shorten(f"{result}: {command}", 300) + (f"\n    {detail}" if detail else ""), flush=True)
    print("\n".join(f"{count:4} {result}" for result, count in sorted(counts.items())))
    return 1 if counts["FAILED"] or not counts["ran"] else 0


if __name__ == "__main__":
    sys.exit(main())
