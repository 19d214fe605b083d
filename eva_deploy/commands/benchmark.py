"""Measure a trained model of any task in several formats on this machine: speed, memory, and accuracy.

    python -m tools benchmark --weights output/mine --formats torch,compile,onnx,openvino --evaluate

The formats are weights in PyTorch ("torch"), the same with compiled blocks ("compile"), and files that are exported
first ("onnx", "openvino"). The type int8 is a file of OpenVINO that is quantised with the images of --calibration. Each
format runs in a process of its own; the processes predict in turn, so that their ratios hold although other programs
slow the machine down. The table has

    latency    time of one image from prepared pixels to the result: median and quartiles
    photos/s   files per second, one after the other, with reading and preparing them
    processor  processor time of one image, which other programs influence less
    first      time of the first prediction, which may compile
    memory     peak resident memory of the process, Python and its packages included
    speed      how many times as fast as the first format, in time and in processor time: medians of the rounds
    accuracy   with --evaluate: what `evaluate` measures on the test data of the recipe

Exit status: 0, or 1 if nothing could be measured, 2 for an unusable option, config or weight file, 130 when
interrupted.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.commands.cli import add_model_options, command_parser, parse_with_overrides, positive_int, run_command
from eva_engine.commands.early_checks import check_config
from eva_engine.commands.import_time import defer_slow_imports
from eva_engine.commands.task_options import add_task_options, check_task_options, given_options, options_of_all_tasks
from eva_engine.output_files import unwritable_reason
from eva_engine.prediction.json_text import to_json
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable
from eva_engine.tasks import Option, Task

from ..benchmark.accuracy import measure_accuracy
from ..benchmark.report import figures_document, figures_table
from ..benchmark.rounds import measure, run_verb
from ..benchmark.variant import FORMATS, PYTORCH_FORMATS, Figures, Variant

INT8 = "int8"  # as in `quantization`, which imports PyTorch
_DTYPES = ("float32", "bfloat16", "float16", INT8)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    texts = [option.name for option in options_of_all_tasks(_options) if option.is_text]
    return run_command(_benchmark, parse_with_overrides(_parser(), argv, "images", "calibration", texts=texts))


def _benchmark(args: argparse.Namespace) -> int:
    if args.config_file:
        check_config(args.config_file, args.opts)
    check_weights(args.weights)
    if (INT8 in args.dtype) != bool(args.calibration):
        raise InputError("--dtype int8 and --calibration PATH, images for the ranges of the values, need each other.")
    if args.json and unwritable_reason(args.json.parent):
        raise InputError(f"{args.json} cannot be written ({unwritable_reason(args.json.parent)}); give another --json.")
    defer_slow_imports()
    from eva_engine.prediction.load_predictor import load_recipe

    from ..sample_images import find_images

    recipe = load_recipe(args.weights, args.config_file, args.opts, args.trust_recipe)
    check_task_options(recipe.task, args, _options)
    options = given_options(recipe.task.predict_options, args)
    missing = [o.flag for o in recipe.task.predict_options if o.is_required and o.name not in options]
    if missing:
        raise InputError(f"the recipe's task, {recipe.task.name}, requires {', '.join(missing)}; see --help.")
    inputs = find_images(args.images, recipe.task.load("predictor").kinds, args.num_images)
    variants = [Variant(name, dtype) for name in args.formats for dtype in args.dtype]
    figures = {variant: Figures() for variant in variants}
    common = {
        "trusted": args.trust_recipe,
        "device": args.device,
        "inputs": [[str(item.path), item.kind] for item in inputs],
    }
    with tempfile.TemporaryDirectory(prefix="eva-vision-") as folder:
        specifications: dict[Variant, Mapping[str, Any]] = {}
        for variant in variants:
            try:
                specifications[variant] = {**common, **_model(variant, args, options, Path(folder))}
            except InputError as error:
                figures[variant].problem = str(error)
        measure(specifications, figures, args.rounds)
        if args.evaluate:
            _evaluate(specifications, figures, args)
    for line in figures_table(figures):
        print(printable(line))
    if args.json:
        document = figures_document(figures, weights=args.weights, recipe=recipe.path, images=len(inputs))
        with atomic_path(args.json) as partial:
            partial.write_text(to_json(document, indent=1) + "\n", encoding="utf-8")
    return 1 if all(found.problem for found in figures.values()) else 0


def _model(variant: Variant, args: argparse.Namespace, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the process of a variant loads; export the model if it is a file.

    Raises:
        InputError: The variant cannot be had.
    """
    if variant.dtype == INT8 and variant.format != "openvino":
        raise InputError("8 bits are offered for OpenVINO only.")
    if not variant.is_exported:
        is_compiled = variant.format == "compile"
        model: dict[str, Any] = {"weights": args.weights, "config_file": args.config_file, "overrides": args.opts}
        return {**model, "options": {**options, "dtype": variant.dtype}, "is_compiled": is_compiled}
    print(f"exporting as {variant}", file=sys.stderr)
    output = folder / str(variant).replace(" ", "-")
    precision = ["--dtype", variant.dtype]
    if variant.dtype == INT8:
        precision = ["--int8", "--calibration", *args.calibration]
    arguments = ["--format", variant.format, *precision, "--output", str(output), "--num-images", "1"]
    printed = run_verb(["export-model", "--weights", args.weights, *arguments, *_recipe_options(args)], "the export")
    # The file to name as weights is listed first, as "path: size".
    file = printed.partition(": ")[0]
    return {"weights": file, "config_file": "", "overrides": [], "options": dict(options), "is_compiled": False}


def _evaluate(
    specifications: Mapping[Variant, Mapping[str, Any]], figures: Mapping[Variant, Figures], args: argparse.Namespace
) -> None:
    """Measure the accuracy; that of compiled blocks is that of the others, because evaluations run uncompiled."""
    for variant, specification in specifications.items():
        if variant.format == "compile" or figures[variant].problem:
            continue
        print(f"evaluating {variant}", file=sys.stderr)
        try:
            if variant.is_exported:
                figures[variant].metrics = measure_accuracy(specification["weights"], [], None)
            else:
                figures[variant].metrics = measure_accuracy(args.weights, _recipe_options(args), variant.dtype)
        except InputError as error:  # what was measured is shown all the same
            print(f"error: {variant} was not evaluated: {printable(str(error))}", file=sys.stderr)


def _recipe_options(args: argparse.Namespace) -> list[str]:
    recipe = ["--config-file", args.config_file] if args.config_file else []
    for trusted in args.trust_recipe:
        recipe += ["--trust-recipe", trusted]
    return [*recipe, *args.opts]


def _options(task: Task) -> Sequence[Option]:
    return task.predict_options


def _names(accepted: Sequence[str]) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if not set(names) <= set(accepted):
            raise ValueError
        return names

    parse.__name__ = f"list of {', '.join(accepted)}"  # argparse names the type in its errors
    return parse


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    add_model_options(parser)
    parser.add_argument(
        "--formats",
        type=_names(FORMATS),
        default=PYTORCH_FORMATS,
        metavar="F,F,...",
        help=f"formats to compare, some of {','.join(FORMATS)}; default: {','.join(PYTORCH_FORMATS)}",
    )
    parser.add_argument(
        "--dtype",
        type=_names(_DTYPES),
        default=("float32",),
        metavar="T,T,...",
        help=f"types of the weights, some of {','.join(_DTYPES)}; default: float32",
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        default=[],
        metavar="PATH",
        help="with --dtype int8: images like those that the model will get, at most 64 of which are used",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="images or videos to predict on; default: photos in installed packages",
    )
    parser.add_argument(
        "--num-images", type=positive_int, default=4, metavar="N", help="use at most N of them, default: %(default)s"
    )
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=5,
        metavar="N",
        help="number of rounds, default: %(default)s",
    )
    parser.add_argument("--evaluate", action="store_true", help="also evaluate each format on the recipe's test data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...; default: %(default)s")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    add_task_options(parser, _options)
    return parser
