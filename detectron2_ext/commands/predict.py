"""Detect or segment in your own pictures and videos: what was found is drawn in, and a JSON file lies beside each.

    python -m tools predict --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \
        --weights eva_coco_seg.pth --input photo.jpg folder/ clip.mp4 --output out/ model.roi_heads.maskness_thresh=0.5

A config of semantic segmentation (projects/SemSeg) gives coloured pictures with a legend, and maps of class numbers;
it takes pictures only.

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are written), 2 for an unusable
option, config or weight file.
"""

import argparse
import logging
import sys
from typing import Any

from detectron2_ext.commands import command_parser, parse_with_overrides, positive, run_command, share
from eva_backbone.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = parse_with_overrides(_parser(), argv, "input")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: _run(args), finished=args.output)


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    from omegaconf import OmegaConf

    from detectron2_ext.engine import load_config
    from detectron2_ext.prediction import list_inputs, read_categories

    cfg = load_config(args.config_file, args.opts)
    segments = OmegaConf.select(cfg, "dataloader.test.mapper.views", default=None) is not None
    found = list_inputs(args.input, args.output, args.recursive)
    if segments:
        found.unusable += [f"{item.path}: a video; give pictures" for item in found.inputs if item.kind == "video"]
        found.inputs[:] = [item for item in found.inputs if item.kind == "image"]
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not found.inputs:
        kinds = "picture" if segments else "picture or video"
        raise InputError(f"no {kinds} in {', '.join(args.input)}: name files or folders that have some.")
    categories = read_categories(args.class_names) if args.class_names else None
    counts, failures = (_segment if segments else _detect)(args, cfg, found.inputs, categories)
    num_failed = len(failures) + len(found.unusable)
    print(f"{counts}, failed: {num_failed}, other files skipped: {found.num_skipped}; results in {args.output}")
    return 1 if num_failed else 0


def _detect(args: argparse.Namespace, cfg: Any, inputs: list, categories: Any) -> tuple[str, list[str]]:
    from detectron2_ext.prediction import Predictor, predict_files

    predictor = Predictor(cfg, args.weights, args.device, args.score_threshold, categories)
    done = predict_files(predictor, inputs, args.output, args.max_frames)
    counts = f"pictures: {done.num_images}, videos: {done.num_videos} ({done.num_frames} frames)"
    return f"{counts}, detections: {done.num_detections}", done.failures


def _segment(args: argparse.Namespace, cfg: Any, inputs: list, categories: Any) -> tuple[str, list[str]]:
    from eva_semseg.prediction import SegmentationPredictor, segment_files

    names = None if categories is None else categories.names
    predictor = SegmentationPredictor(cfg, args.weights, args.device, names)
    done = segment_files(predictor, inputs, args.output)
    return f"pictures: {done.num_images}", done.failures


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="PY", help="LazyConfig of the model")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="pictures, videos, folders of them")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    parser.add_argument(
        "--score-threshold", type=share, default=0.5, metavar="S", help="of detections, 0..1, default: %(default)s"
    )
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
