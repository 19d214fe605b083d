"""Write a trained model of any task as a file for other runtimes, and compare it with the original on real images.

    python -m tools export-model --weights eva02_L_coco_det_sys_o365 --format onnx --output exported/
    python -m tools export-model --weights output/mine --format openvino --dtype float16 --output exported/ \\
        --images photos/
    python -m tools predict --weights exported/model.onnx --input photos/

The file contains the preprocessing, the class names, the thresholds and the recipe, so that predict, evaluate, inspect
and eva_vision.load take it in place of weights, and no model of PyTorch is built.

Exit status: 0 when the exported model agrees with the original, 1 when it differs by more than the tolerance or cannot
be written, 2 for an unusable option, config or weight file, 130 when interrupted.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.commands.cli import add_model_options, command_parser, parse_with_overrides, positive_int, run_command
from eva_engine.commands.early_checks import check_config
from eva_engine.commands.import_time import defer_slow_imports
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable

from ..formats.table import FORMATS, check_packages


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    args = parse_with_overrides(_parser(), argv, "images", "calibration")
    return run_command(_export, args)


def _export(args: argparse.Namespace) -> int:
    if args.config_file:
        check_config(args.config_file, args.opts)
    check_weights(args.weights)
    if args.int8 != bool(args.calibration):
        raise InputError("--int8 and --calibration PATH, images for the ranges of the values, need each other.")
    check_packages(args.format)
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_deploy.exporting import ExportRequest, check_request, export_model
    from eva_deploy.task_export import ExportOptions
    from eva_engine.prediction.load_predictor import load_recipe

    request = ExportRequest(
        format=args.format,
        folder=args.output,
        options=ExportOptions(args.image_size, args.dynamic_size, args.batch_size, args.dtype),
        compiled=args.aot,
        with_example=args.with_example,
        images=tuple(args.images),
        num_images=args.num_images,
        calibration=tuple(args.calibration),
    )
    check_request(request, args.weights)
    recipe = load_recipe(args.weights, args.config_file, args.opts, args.trust_recipe)
    exported = export_model(recipe, args.weights, request, args.class_names)
    for file in exported.files:
        print(f"{printable(file)}: {file.stat().st_size:,} bytes")
    for line in exported.parity.lines():
        print(printable(line))
    for excess in exported.parity.excesses:
        print(f"the exported model differs from the original: {excess}")
    return 1 if exported.parity.excesses else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    add_model_options(parser)
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="format of the file")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--image-size",
        type=positive_int,
        metavar="PIXELS",
        help="side of the windows of a segmentation model; default: that of the recipe",
    )
    parser.add_argument(
        "--dynamic-size", action="store_true", help="height and width of the images may vary, for UperNet"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, metavar="N", help="fixed number of images per run; default: any number"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="type of the weights, default: float32",
    )
    parser.add_argument("--class-names", metavar="FILE", help="file with class names, see predict")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="images or videos to compare on; default: those of --calibration, else photos in installed packages",
    )
    parser.add_argument(
        "--num-images", type=positive_int, default=8, metavar="N", help="compare on at most N, default: %(default)s"
    )
    parser.add_argument(
        "--aot", action="store_true", help="with --format torch: compile to machine code for this kind of processor"
    )
    parser.add_argument("--int8", action="store_true", help="with --format openvino: weights and activations in 8 bits")
    parser.add_argument(
        "--calibration",
        nargs="+",
        default=[],
        metavar="PATH",
        help="with --int8: images like those that the model will get, at most 64 of which are used",
    )
    parser.add_argument(
        "--with-example",
        action="store_true",
        help="with --format onnx: also write run_model.py, which needs only NumPy, Pillow and ONNX Runtime",
    )
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    return parser
