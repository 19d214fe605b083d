"""Identify the model of a weight file, the recipe for it, and what would be used, resized or skipped.

    python -m tools inspect eva_coco_seg.pth
    python -m tools inspect output/model_final.pth --entry ema
    python -m tools inspect eva_psz14.pt --config-file projects/Video/configs/kinetics722.py

FILE is a weight file of any published kind, the name of a published file, or a checkpoint of a run: a file, the folder
of a sharded one, or the run's output folder for its best or last one; the config.yaml next to it is tried as its
recipe. Nothing in the file is executed, and only shapes are read. Of an exported model, its metadata are printed.

Exit status: 0 when every file is identified, 1 when one fits no recipe, 2 for an unusable file, config or option.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eva_engine.exported_models import describe_exported, is_exported
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable

from .cli import add_trust_option, command_parser, run_command
from .early_checks import check_config
from .import_time import defer_slow_imports

if TYPE_CHECKING:
    from eva_engine.inspection import Identifier


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    args = _parser().parse_args(argv)
    return run_command(_inspect_files, args)


def _inspect_files(args: argparse.Namespace) -> int:
    if args.config_file:
        check_config(args.config_file)
    usable = [path for path in args.files if run_command(check_weights, path) == 0]
    if not usable:
        return 2
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.config import load_config
    from eva_engine.inspection import Identifier
    from eva_engine.inspection.recipes import Recipe

    given = None
    if args.config_file:
        given = Recipe(args.config_file, load_config(args.config_file, trusted_recipes=args.trust_recipe))
    identifier = Identifier(given, args.trust_recipe)
    status = max(run_command(_inspect, identifier, path, args) for path in usable)
    return status if len(usable) == len(args.files) else 2


def _inspect(identifier: "Identifier", path: Path, args: argparse.Namespace) -> int:
    if is_exported(path):
        _print(describe_exported(path))
        return 0
    from eva_engine.inspection import read_summary
    from eva_engine.inspection.format import describe, describe_names, describe_summary

    summary = read_summary(path, args.entry)
    _print(describe_summary(summary))  # before the recipes are compared, which takes seconds
    found = identifier.identify(summary)
    _print(describe(found, args.entry))
    if args.names:
        _print(["  names:", *describe_names(summary)])
    return 0 if found.is_identified else 1


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="weight file, name of a published one, checkpoint of a run, the run's output folder, or exported model",
    )
    parser.add_argument("--config-file", metavar="CONFIG", help="compare with this recipe only")
    add_trust_option(parser)
    parser.add_argument("--entry", default="", help="entry to read where a checkpoint holds several, such as ema")
    parser.add_argument("--names", action="store_true", help="list every weight with its shape and type")
    return parser
