"""Name what your own videos show: the five most likely classes of each, with --output as JSON lines and filmstrips.

    python tools/classify_video.py --config-file projects/Video/configs/kinetics400.py \
        --weights eva_video_k400.pth --input clip.mp4 folder/ --output classes/

The views are those of the config's evaluation; dataloader.test.mapper.frames.num_clips=1 and
dataloader.test.mapper.transform.num_crops=1 take one clip and one crop, twelve times as fast.

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are done), 2 for an unusable
option, config or weight file.
"""

import argparse
import logging
import os
import sys

from detectron2_ext.commands import command_parser, parse_with_overrides, run_command
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
    from eva_video.prediction import VideoPredictor, classify_videos

    found = list_inputs(args.input, args.output or os.devnull, args.recursive)
    videos = [item for item in found.inputs if item.kind == "video"]
    found.unusable += [f"{item.path}: a picture; give videos" for item in found.inputs if item.kind == "image"]
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not videos:
        raise InputError(f"no video in {', '.join(args.input)}: name files or folders that have some.")
    cfg = load_config(args.config_file, args.opts)
    class_names = read_categories(args.class_names).names if args.class_names else None
    predictor = VideoPredictor(cfg, args.weights, args.device, class_names)
    summary = classify_videos(predictor, videos, args.output)
    num_failed = len(summary.failures) + len(found.unusable)
    print(
        f"videos: {summary.num_videos}, failed: {num_failed}, other files skipped: {found.num_skipped}"
        + (f"; classes and filmstrips in {args.output}" if args.output else "")
    )
    return 1 if num_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="PY", help="LazyConfig of the model")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="videos, folders of them")
    parser.add_argument(
        "--output", metavar="FOLDER", help="classes.jsonl and a filmstrip per video; default: none are written"
    )
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    parser.add_argument(
        "--device", default="auto", help="auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, ..."
    )
    parser.add_argument("--class-names", metavar="FILE", help="one name a line, or a JSON list; default: the config's")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
