"""Detect in your own pictures and videos: pictures with the detections drawn in, and a JSON file beside each.

    python tools/demo.py --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \
        --weights eva_coco_seg.pth --input photo.jpg folder/ clip.mp4 --output out/ model.roi_heads.maskness_thresh=0.5

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are written), 2 for an unusable
option, config or weight file.
"""

import argparse
import logging
import sys

from detectron2_ext.commands import command_parser, parse_with_overrides, positive, run_command, share
from eva_backbone.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = parse_with_overrides(_parser(), argv, "input")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: _run(args), finished=args.output)


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    from detectron2_ext.engine import load_config
    from detectron2_ext.prediction import Predictor, list_inputs, predict_files, read_categories

    found = list_inputs(args.input, args.output, args.recursive)
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not found.inputs:
        raise InputError(f"no picture or video in {', '.join(args.input)}: name files or folders that have some.")
    cfg = load_config(args.config_file, args.opts)
    categories = read_categories(args.class_names) if args.class_names else None
    predictor = Predictor(cfg, args.weights, args.device, args.score_threshold, categories)
    summary = predict_files(predictor, found.inputs, args.output, args.max_frames)
    num_failed = len(summary.failures) + len(found.unusable)
    print(
        f"pictures: {summary.num_images}, videos: {summary.num_videos} ({summary.num_frames} frames), "
        f"detections: {summary.num_detections}, failed: {num_failed}, other files skipped: {found.num_skipped}; "
        f"results in {args.output}"
    )
    return 1 if num_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="PY", help="LazyConfig of the model")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="pictures, videos, folders of them")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    parser.add_argument("--score-threshold", type=share, default=0.5, metavar="S", help="0..1, default: %(default)s")
    parser.add_argument(
        "--device", default="auto", help="auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, ..."
    )
    parser.add_argument(
        "--class-names",
        metavar="FILE",
        help="one name a line, or JSON: a list, or COCO's categories; default: the names of the config's test data set",
    )
    parser.add_argument("--max-frames", type=positive, metavar="N", help="only the first N frames of each video")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
