"""Run what README.md, docs/ and datasets/README.md tell a user to type, as far as this machine can; report all of it.

    .venv/bin/python .ci/documented_commands.py [--limit SECONDS] [--only TEXT]

Commands run in the order of the pages, in the checkout (best a fresh clone: they leave their results there). Left out,
with the reason, are those that need a published weight file, data of the user's own, a data set that is not under
DETECTRON2_DATASETS, more than two processes, or what a command makes that is left out itself. All others must succeed.
Exit status: 0 when all that ran succeeded, 1 otherwise.
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

from documented_pages import EXPLAINED, PAGES, Command, code_blocks, commands, inline_commands, to_command  # noqa: E402

from eva_engine.commands.verbs import VERBS  # noqa: E402

DATA = Path(os.environ.get("DETECTRON2_DATASETS", ROOT / "datasets")).expanduser().resolve()
STAGES = ("demo", "test", "lint", "bench")
MANY = re.compile(r"--((num-gpus|nproc-per-node)[ =]([3-9]|\d\d)|(num-machines|nnodes)[ =]([2-9]|\d\d))")


def all_commands() -> list[Command]:
    """Those of all pages, Python blocks included, each once."""
    verbs = [name for group in VERBS.values() for name in group]
    found: dict[tuple[str, ...], Command] = {}
    for page in PAGES:
        blocks = [to_command(page, ["python", "-c", block]) for block in code_blocks(page, "python")]
        for command in [*inline_commands(page, verbs), *blocks, *commands(page)]:
            found.setdefault(command.words, command)
    return list(found.values())


def reasons_to_skip(found: Sequence[Command], root: Path) -> dict[Command, str]:
    """The commands that cannot run in the folder `root`, and why."""
    reasons: dict[Command, str] = {}
    while True:
        made = {file for command in found if command not in reasons for file in command.writes}
        lost = {file for command in reasons for file in command.writes} - made
        new = {command: reason for command in found if (reason := _reason(command, lost, root))}
        if new.keys() == reasons.keys():
            return reasons
        reasons = new


def _reason(command: Command, lost: set[str], root: Path) -> str:
    if command.starter == ("make",) and command.name in STAGES:
        return "is a stage of .ci/run"
    if (command.name, *command.arguments) == ("demo-detection", "--output", "output/demo"):
        return "is what make demo runs"
    if any(word.endswith(".py") and not (root / word).exists() for word in command.words):
        return ""  # a wrong recipe or script is the page's own fault: the command fails
    if MANY.search(" ".join(command.words)):
        return "needs more than two processes"
    is_python = command.starter[-1] == "-c"
    reads = re.findall(r"[\"']([^\"'\s]+)[\"']", command.name) if is_python else command.reads
    for file in reads:
        if (root / file).exists():
            continue
        if file in EXPLAINED:
            return f"needs {EXPLAINED[file]}"
        if any(file == folder or file.startswith(f"{folder}/") for folder in lost):
            return "needs what a command makes that is left out"
    return ""


def run(command: Command, root: Path, limit: float) -> tuple[str, str]:
    """ "ran", "FAILED", or why it is left out after all; and what there is to say about it."""
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
        out.seek(0), err.seek(0)
        return outcome(command, status, out.read(), err.read(), time.monotonic() - start)


def outcome(command: Command, status: int, out: str, err: str, seconds: float) -> tuple[str, str]:
    """What `run` returns of a command that has ended."""
    fits_not = command.name == "plan" and status == 1 and re.search(r"^It does not fit .* GB\.$", out, re.M)
    if status == 0 or (fits_not and "Traceback" not in err):
        return "ran", f"{seconds:.0f} s"
    sentence = re.findall(r"^error: .*", err, re.M)
    missing = re.search(rf"{re.escape(str(DATA))}/[\w./-]*\w", sentence[-1]) if sentence else None
    if status == 2 and missing and not Path(missing[0]).exists():
        return "needs a data set", missing[0]
    return "FAILED", f"status {status}: " + "\n    ".join(err.strip().splitlines()[-8:])


def main() -> int:
    """See the text of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="for each, default: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="those that contain it")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the command that runs, too
    found = all_commands()
    reasons = reasons_to_skip(found, ROOT)
    counts = Counter[str]()
    for command in found:
        if args.only not in str(command):
            continue
        result, detail = (reasons[command], "") if command in reasons else run(command, ROOT, args.limit)
        counts[result] += 1
        print(shorten(f"{result}: {command}", 300) + (f"\n    {detail}" if detail else ""), flush=True)
    print("\n".join(f"{count:4} {result}" for result, count in sorted(counts.items())))
    return 1 if counts["FAILED"] or not counts["ran"] else 0


if __name__ == "__main__":
    sys.exit(main())
