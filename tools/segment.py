"""Tell for every pixel of your own pictures what it shows: coloured pictures with a legend, and maps of class numbers.

    python tools/segment.py --config-file projects/SemSeg/configs/ade20k_ss.py \
        --weights eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth --input photo.jpg folder/ --output output/segments

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are done), 2 for an unusable
option, config or weight file.
"""

import argparse
import logging
import sys

from detectron2_ext.commands import command_parser, parse_with_overrides, run_command, share
from eva_backbone.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = parse_with_overrides(_parser(), argv, "input")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: _run(args), finished=args.output)


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    from detectron2_ext.engine import load_config
    from detectron2_ext.prediction import list_inputs, read_categories
    from eva_semseg.prediction import SegmentationPredictor, segment_files

    found = list_inputs(args.input, args.output, args.recursive)
    found.unusable += [f"{item.path}: a video; give pictures" for item in found.inputs if item.kind == "video"]
    pictures = [item for item in found.inputs if item.kind == "image"]
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not pictures:
        raise InputError(f"no picture in {', '.join(args.input)}: name files or folders that have some.")
    cfg = load_config(args.config_file, args.opts)
    class_names = read_categories(args.class_names).names if args.class_names else None
    predictor = SegmentationPredictor(cfg, args.weights, args.device, class_names)
    summary = segment_files(predictor, pictures, args.output, args.opacity)
    num_failed = len(summary.failures) + len(found.unusable)
    print(
        f"pictures: {summary.num_images}, failed: {num_failed}, other files skipped: {found.num_skipped}; "
        f"results in {args.output}"
    )
    return 1 if num_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="PY", help="LazyConfig of the model")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="pictures, folders of them")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    parser.add_argument("--opacity", type=share, default=0.55, help="of the colours, 0 to 1, default: %(default)s")
    parser.add_argument(
        "--device", default="auto", help="auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, ..."
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="one name a line, or a JSON list; default: the names of the config's data",
    )
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
