"""Run the side-by-side scripts and write what they found to benchmarks/results.json and benchmarks/RESULTS.md.

    python -m benchmarks                 all of them in short form, about 35 minutes on two cores
    python -m benchmarks backbone demos  these; the tables of the others stay as they are
    python -m benchmarks --full          the full forms, some hours
    python -m benchmarks --render        no run: the page and the cited figures anew from results.json

Each runs in a process of its own and is stopped at its time limit. What is finished when the command is interrupted is
kept. At the end README and docs get the figures that they cite. `make bench` first installs what only the scripts need
(requirements/bench.txt); without it some of them fail. Exit status: 0, or 1 when a script failed or was stopped or a
cited figure is missing, 130 when the command was interrupted.
"""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

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
    """Run the command; returns its exit status."""
    parser = command_parser(__doc__)
    by_name = {script.name: script for script in ALL_SCRIPTS}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(by_name)}")
    parser.add_argument("--full", action="store_true", help="full forms")
    parser.add_argument("--render", action="store_true", help="only write page and cited figures anew")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in by_name]:
        parser.error(f"there is no script {', '.join(unknown)}; there are {', '.join(by_name)}")
    status = 0
    if args.render:
        write_page(FOLDER)
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            wrong = run_all([by_name[name] for name in args.names] or ALL_SCRIPTS, args.full, FOLDER)
            status = 1 if wrong else 0
        except KeyboardInterrupt:
            print("interrupted; what was finished is kept", file=sys.stderr)
            status = 130
    missing = write_citations()
    return status or (1 if missing else 0)


def run_all(scripts: Sequence[Script], full: bool, folder: Path) -> list[str]:
    """Run `scripts` in turn and put their results in `folder` as they come; returns the names of those not finished."""
    wrong = []
    for number, script in enumerate(scripts, 1):
        print(f"[{number}/{len(scripts)}] {script.name}: {script.title}", flush=True)
        words = ["python", "-m", f"benchmarks.{script.name}", *(script.full if full else script.short)]
        # Notes of libraries to their authors would bury the figures.
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
    """RESULTS.md from results.json, both in `folder`."""
    with atomic_path(folder / "RESULTS.md") as partial:
        partial.write_text(render(load_results(folder / "results.json")), encoding="utf-8")


def write_citations(root: Path = ROOT) -> list[str]:
    """Put the figures of results.json into README and docs; tells and returns where one is missing."""
    results = load_results(root / "benchmarks/results.json")
    missing = []
    for name, cited in CITED.items():
        path = root / name
        try:
            path.write_text(with_results(path.read_text(encoding="utf-8"), cited, results), encoding="utf-8")
        except ValueError as error:
            print(f"{name} stays as it is: {error}", file=sys.stderr)
            missing.append(name)
    return missing


if __name__ == "__main__":
    sys.exit(main())
