"""Run what README.md and docs/ tell a user to type, as far as this machine has what it needs, and report all of it.

    .venv/bin/python .ci/documented_commands.py [--limit SECONDS] [--only TEXT]

Commands run in the order of the pages, in the checkout (best a fresh clone: they leave their results there). One that
names a file which is not there, nor made by an earlier one, is skipped, and the file named; so is one for several GPUs.
Exit status: 0 when all that ran succeeded, 1 otherwise.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = ("python", "python3", "eva-vision", "torchrun", "make")
# Their last argument is the file that they write.
EXCHANGES = ("export", "export-timm", "export-open-clip", "join-clip-towers", "interpolate-patch")
FILES = re.compile(r"\.(pt|pth|pkl|safetensors|json|jsonl|csv|txt|yaml|py|jpe?g|png|mp4|avi|tar|npy)$|/$")
# How our commands end when data is not there: one sentence, status 2.
NO_DATA = re.compile(
    r"^error: .*(does not exist|do not exist|no such file|not found|is missing|DETECTRON2_DATASETS).*", re.M | re.I
)


@dataclass(frozen=True)
class Command:
    """What a page says to run: words of a shell command, or the text of a Python block."""

    page: str
    words: tuple[str, ...]
    python: bool = False

    def __str__(self) -> str:
        return "python block: " + self.words[0].strip().splitlines()[-1] if self.python else shlex.join(self.words)


def commands(root: Path) -> Iterator[Command]:
    """Those of README.md, then of the pages of docs/, each once."""
    seen = set()
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        name = str(page.relative_to(root))
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            if language == "python":
                found = [Command(name, (block,), python=True)]
            else:
                lines = block.replace("\\\n", " ").splitlines()
                split = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if _is_command(line)]
                found = [Command(name, tuple(words)) for words in split]
            for command in found:
                if command.words not in seen:
                    seen.add(command.words)
                    yield command


def _is_command(line: str) -> bool:
    return line.removeprefix("$ ").partition(" ")[0] in PROGRAMS


def reason_to_skip(command: Command, root: Path) -> str:
    """Why a command cannot run here, such as the file that it lacks; nothing when it can."""
    if command.python:
        missing = [text for text in re.findall(r"[\"']([^\"'\s]+)[\"']", command.words[0]) if _is_missing(text, root)]
        return f"{missing[0]} is not here" if missing else ""
    words = command.words
    if words[0] == "make":
        return "make demo and make test run before, the others are long"
    several = re.search(r"--(num-gpus|num-machines|nproc.per.node|nnodes)[ =]([2-9]|\d\d)", " ".join(words))
    if words[0] == "torchrun" or several:
        return "for several GPUs"
    if any("<" in word or word == "..." for word in words):
        return "has a placeholder"
    missing = [word for word in _inputs(words) if _is_missing(word, root)]
    return f"{missing[0]} is not here" if missing else ""


def _inputs(words: tuple[str, ...]) -> list[str]:
    """What a command reads, among other words: all but where it writes."""
    given = words[:-1] if any(word in EXCHANGES for word in words) else words
    read = [word for before, word in pairwise(given) if not before.startswith("--out")]
    return [word.partition("=")[2] or word for word in read if not word.startswith(("-", "train.output_dir="))]


def _is_missing(text: str, root: Path) -> bool:
    if not FILES.search(text) or "://" in text or len(text) > 200:
        return False
    if any(letter in text for letter in "*?["):
        return not any(root.glob(text))
    return not (root / text).exists()


def run(command: Command, root: Path, limit: float) -> tuple[str, str]:
    """ "ran", "skipped" or "FAILED", and what there is to say about it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, "-c", command.words[0]] if command.python else list(command.words)
    start = time.monotonic()
    try:
        ended = subprocess.run(
            words,
            cwd=root,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "FAILED", f"not done after {limit:.0f} s"
    if ended.returncode == 0 or (ended.returncode == 1 and "plan" in words):  # 1: a plan that does not fit
        return "ran", f"{time.monotonic() - start:.0f} s"
    no_data = NO_DATA.search(ended.stderr)
    if ended.returncode == 2 and no_data:
        return "skipped", no_data[0].removeprefix("error: ")
    return "FAILED", f"status {ended.returncode}: " + "\n    ".join(ended.stderr.strip().splitlines()[-8:])


def main() -> int:
    """See the text of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="for each, default: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="those that contain it")
    args = parser.parse_args()
    counts = {"ran": 0, "skipped": 0, "FAILED": 0}
    for command in commands(ROOT):
        if args.only not in str(command):
            continue
        reason = reason_to_skip(command, ROOT)
        outcome, detail = ("skipped", reason) if reason else run(command, ROOT, args.limit)
        counts[outcome] += 1
        print(f"{outcome}: {command.page}: {command}\n    {detail}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["FAILED"] or not counts["ran"] else 0


if __name__ == "__main__":
    sys.exit(main())
