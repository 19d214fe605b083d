"""Count the angles of an angles.jsonl."""

import json
from collections import Counter
from pathlib import Path

from eva_engine.commands.cli import command_parser, run_command


def count(path: Path) -> None:
    angles = Counter(json.loads(line)["angle"] for line in path.read_text().splitlines())
    for angle, number in sorted(angles.items()):
        print(f"{angle:g}: {number}")


def main(argv=None) -> int:
    parser = command_parser(__doc__)
    parser.add_argument("file", type=Path)
    return run_command(count, parser.parse_args(argv).file)
