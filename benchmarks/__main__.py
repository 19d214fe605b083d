"""Run the benchmark scripts and write their results to benchmarks/results.json and benchmarks/RESULTS.md.

    python -m benchmarks                 all scripts in their short form, about 35 minutes on two cores
    python -m benchmarks backbone demos  only these scripts; the tables of the others are kept
    python -m benchmarks --full          the full forms, several hours
    python -m benchmarks --render        run nothing; only write the page and the cited figures from results.json

Each script runs in a process of its own with a time limit. If the command is interrupted, finished results are kept. At
the end, the figures that README and docs cite are updated. `make bench` first installs the packages that only the
scripts need (requirements/bench.txt); without them some scripts fail. Exit status: 0; 1 if a script failed or timed out
or a cited figure is missing; 130 if the command was interrupted.
"""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from eva_engine.atomic import atomic_path
from eva_engine.commands.cli import command_parser

from .harness.citations import with_results
from .harness.cited import CITED
from .harness.conditions import conditions, others_seconds
from .harness.page import render
from .harness.process import ROOT, run_command
from .harness.results import Result, load_results, save_results
from .harness.scripts import ALL_SCRIPTS, Script

FOLDER = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = command_parser(__doc__)
    by_name = {script.name: script for script in ALL_SCRIPTS}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"scripts to run, default: all; {', '.join(by_name)}")
    parser.add_argument("--full", action="store_true", help="run the full forms")
    parser.add_argument("--render", action="store_true", help="run nothing; only write the page and the cited figures")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in by_name]:
        parser.error(f"unknown script {', '.join(unknown)}; choose from {', '.join(by_name)}")
    status = 0
    if args.render:
        write_page(FOLDER)
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            wrong = run_all([by_name[name] for name in args.names] or ALL_SCRIPTS, args.full, FOLDER)
            status = 1 if wrong else 0
        except KeyboardInterrupt:
            print("interrupted; finished results are kept", file=sys.stderr)
            status = 130
    missing = write_citations()
    return status or (1 if missing else 0)


def run_all(scripts: Sequence[Script], full: bool, folder: Path) -> list[str]:
    """Run `scripts` one after the other, save each result in `folder`, and return the names of those that failed."""
    wrong = []
    for number, script in enumerate(scripts, 1):
        print(f"[{number}/{len(scripts)}] {script.name}: {script.title}", flush=True)
        if script.needs_gpu and not torch.cuda.is_available():
            print("not run: there is no CUDA device\n", flush=True)
            continue
        words = ["python", "-m", f"benchmarks.{script.name}", *(script.full if full else script.short)]
        # Deprecation warnings of libraries would bury the figures.
        command = [sys.executable, "-W", "ignore", *words[1:]]
        start, others = time.perf_counter(), others_seconds()
        outcome = run_command(command, script.limit * (10 if full else 1))
        seconds, others = time.perf_counter() - start, others_seconds() - others
        if outcome.state != "finished":
            wrong.append(script.name)
        result = Result(" ".join(words), conditions(others / seconds), outcome)
        save_results(load_results(folder / "results.json") | {script.name: result}, folder / "results.json")
        write_page(folder)
        why = f" ({outcome.note})" if outcome.note else ""
        print(f"{outcome.state} in {seconds:.0f} s, {len(outcome.figures)} figures{why}\n", flush=True)
    return wrong


def write_page(folder: Path) -> None:
    """Write RESULTS.md from results.json, both in `folder`."""
    with atomic_path(folder / "RESULTS.md") as partial:
        partial.write_text(render(load_results(folder / "results.json")), encoding="utf-8")


def write_citations(root: Path = ROOT) -> list[str]:
    """Update the cited figures in README and docs; report and return the files for which one is missing."""
    results = load_results(root / "benchmarks/results.json")
    missing = []
    for name, cited in CITED.items():
        path = root / name
        try:
            path.write_text(with_results(path.read_text(encoding="utf-8"), cited, results), encoding="utf-8")
        except ValueError as error:
            print(f"{name} is not updated: {error}", file=sys.stderr)
            missing.append(name)
    return missing


if __name__ == "__main__":
    sys.exit(main())
