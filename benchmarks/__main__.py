"""Run the side-by-side scripts and write what they found to benchmarks/results.json and benchmarks/RESULTS.md.

    python -m benchmarks                 all of them in short form, about 20 minutes on two cores
    python -m benchmarks backbone demos  these; the tables of the others stay as they are
    python -m benchmarks --full          the full forms, some hours
    python -m benchmarks --render        no run: the page anew from results.json

Each runs in a process of its own and is stopped at its time limit. What is finished when the command is interrupted is
kept. Exit status: 0, or 1 when a script failed or was stopped, 130 when the command was interrupted.
"""

import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from detectron2_ext.atomic import atomic_path
from detectron2_ext.commands import command_parser

from .harness.citations import unknown_measurements, unknown_ratios
from .harness.conditions import conditions
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
    parser.add_argument("--render", action="store_true", help="only write the page anew")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in by_name]:
        parser.error(f"there is no script {', '.join(unknown)}; there are {', '.join(by_name)}")
    if args.render:
        write_page(FOLDER)
        return 0
    chosen = [by_name[name] for name in args.names] or [script for script in ALL_SCRIPTS if not script.asked]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wrong = run_all(chosen, args.full, FOLDER)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        return 130
    print_unknown_citations()
    return 1 if wrong else 0


def run_all(scripts: Sequence[Script], full: bool, folder: Path) -> list[str]:
    """Run `scripts` in turn and put their results in `folder` as they come; returns the names of those not finished."""
    wrong = []
    for number, script in enumerate(scripts, 1):
        print(f"[{number}/{len(scripts)}] {script.name}: {script.title}", flush=True)
        if missing := [name for name in script.needs if find_spec(name) is None]:
            print(f"not run: needs {', '.join(missing)}, which is not installed", flush=True)
            continue
        words = ["python", "-m", f"benchmarks.{script.name}", *(script.full if full else script.short)]
        # Notes of libraries to their authors would bury the figures.
        command = [sys.executable, "-W", "ignore", *words[1:]]
        start = time.perf_counter()
        outcome = run_command(command, script.limit * (10 if full else 1))
        if outcome.state != "finished":
            wrong.append(script.name)
        result = Result(" ".join(words), conditions(), outcome)
        save_results(load_results(folder / "results.json") | {script.name: result}, folder / "results.json")
        write_page(folder)
        why = f" ({outcome.note})" if outcome.note else ""
        print(
            f"{outcome.state} in {time.perf_counter() - start:.0f} s, {len(outcome.figures)} figures{why}\n", flush=True
        )
    return wrong


def write_page(folder: Path) -> None:
    """RESULTS.md from results.json, both in `folder`."""
    with atomic_path(folder / "RESULTS.md") as partial:
        partial.write_text(render(load_results(folder / "results.json")), encoding="utf-8")


def print_unknown_citations() -> None:
    """Name what the README and the docs cite and what these results do not hold any more."""
    figures = [figure for result in load_results(FOLDER / "results.json").values() for figure in result.outcome.figures]
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        unknown = unknown_ratios(text, figures)
        if path.name == "README.md":
            unknown += unknown_measurements(text, figures)
        if unknown:
            shown = ", ".join(" ".join(found.split()) for found in unknown)
            print(f"{path.relative_to(ROOT)} cites what is not in these results: {shown}")


if __name__ == "__main__":
    sys.exit(main())
