"""Run the mutation tests of this folder for longer than `make test` does: `python -m tests.fuzz --rounds 10000`.

Every module of this folder with a function `run(rounds, seed)` is a family of files. The rounds of a family are divided
into parts with consecutive seeds, and the command that repeats the failed part is printed.
"""

import argparse
import importlib
import logging
import multiprocessing
import sys
import time
import traceback
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

FOLDER = Path(__file__).parent
ROUNDS_PER_PART = 100


def find_families() -> list[str]:
    """Names of the modules of this folder that define `run`."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if "\ndef run(" in file.read_text(encoding="utf-8"))


def run_family(name: str, rounds: int, seed: int, current: Synchronized) -> None:
    """Run in a process of its own, since a family can end its process; `current` is the seed of the running part."""
    sys.path.insert(1, str(FOLDER.parent))  # the modules that tests share
    logging.getLogger().addHandler(logging.NullHandler())  # families read what is logged; it is not printed
    run = importlib.import_module(f"tests.fuzz.{name}").run
    while rounds > 0:
        current.value = seed
        try:
            run(rounds=min(rounds, ROUNDS_PER_PART), seed=seed)
        except BaseException:
            traceback.print_exc()
            sys.exit(1)
        rounds, seed = rounds - ROUNDS_PER_PART, seed + 1


def main(arguments: list[str] | None = None) -> int:
    families = find_families()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"by default all: {', '.join(families)}")
    parser.add_argument("--rounds", type=int, default=10_000, help="mutated files of each family")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first part; later parts count on")
    options = parser.parse_args(arguments)
    if unknown := set(options.families) - set(families):
        parser.error(f"unknown families {', '.join(sorted(unknown))}; choose from {', '.join(families)}")
    context = multiprocessing.get_context("fork")
    num_failed = 0
    for name in options.families or families:
        start, current = time.monotonic(), context.Value("q", options.seed)
        process = context.Process(target=run_family, args=(name, options.rounds, options.seed, current))
        process.start()
        process.join()
        seconds = time.monotonic() - start
        if process.exitcode == 0:
            print(f"{name}: {options.rounds} rounds in {seconds:.0f} s")
            continue
        num_failed += 1
        done = (current.value - options.seed) * ROUNDS_PER_PART
        part = min(ROUNDS_PER_PART, options.rounds - done)
        print(f"{name}: failed after {done} rounds in {seconds:.0f} s (exit status {process.exitcode}); repeat it with")
        print(f"  python -m tests.fuzz {name} --rounds {part} --seed {current.value}")
    return min(num_failed, 1)


if __name__ == "__main__":
    sys.exit(main())
