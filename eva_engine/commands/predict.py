r"""Predict on your own pictures and videos with a model of any task. What is written depends on the recipe's model:

detection     the picture or video with what was found drawn in, and a JSON file, for each
    python -m tools predict --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \
        --weights eva_coco_seg.pth --input photo.jpg folder/ clip.mp4 --output out/ model.roi_heads.maskness_thresh=0.5
segmentation  the picture in colours with a legend, class numbers, and a JSON file, for each
    python -m tools predict --config-file projects/SemSeg/configs/ade20k_ss.py \
        --weights eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth --input photos/ --output out/
classification  the five most likely classes, printed and in classes.jsonl
    python -m tools predict --config-file projects/Classification/configs/in1k_336.py \
        --weights eva_21k_1k_336px_psz14_ema_89p6.pt --input photos/ --output out/
video         the same for each video, and a filmstrip. dataloader.test.mapper.frames.num_clips=1 with
              dataloader.test.mapper.transform.num_crops=1 takes one view instead of twelve
    python -m tools predict --config-file projects/Video/configs/kinetics400.py \
        --weights eva_video_k400.pth --input clip.mp4 folder/ --output out/
EVA-CLIP      which of your labels fits: a table, contact sheets, scores.jsonl and scores.csv
    python -m tools predict --config-file projects/CLIP/configs/zero_shot_in1k.py \
        --weights eva_clip_psz14.pt --input photos/ --labels "a cat" "a dog" --output out/

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are written), 2 for an unusable
option, config or weight file.
"""

import argparse
import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any

from eva_backbone.errors import InputError

from .cli import command_parser, parse_with_overrides, positive, run_command, share

COMMON = ("config_file", "weights", "input", "output", "recursive", "device", "opts")


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = parse_with_overrides(_parser(), argv, "input", texts=("labels", "templates"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: _run(args), finished=args.output)


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    from eva_engine.config import load_config
    from eva_engine.prediction import FileTask, find_task, list_inputs, predict_files

    cfg = load_config(args.config_file, args.opts)
    task_class = find_task(cfg)
    options = _options(task_class, args)
    found = list_inputs(args.input, args.output, args.recursive, task_class.kinds)
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not found.inputs:
        kinds = " or ".join(task_class.kinds)
        raise InputError(f"no {kinds} in {', '.join(args.input)}: name files or folders that have some.")
    make_task: Callable[..., FileTask] = task_class
    task = make_task(cfg, args.weights, args.device, **options)
    done = predict_files(task, found.inputs, args.output)
    num_failed = len(done.failures) + len(found.unusable)
    counts = ", ".join(f"{name}: {count}" for name, count in done.counts.items())
    print(f"{counts}, failed: {num_failed}, other files skipped: {found.num_skipped}; results in {args.output}")
    for note in task.notes():
        print(note)
    return 1 if num_failed else 0


def _options(task: Callable, args: argparse.Namespace) -> dict[str, Any]:
    """The options given of those that not every task has; a task has its keyword-only parameters."""
    from eva_engine.prediction import read_categories

    taken = {name: p for name, p in inspect.signature(task).parameters.items() if p.kind is p.KEYWORD_ONLY}
    given = {name: value for name, value in vars(args).items() if name not in COMMON}
    wrong = [_flag(name) for name in given if name not in taken]
    if wrong:
        raise InputError(
            f"{', '.join(wrong)} is no option for the recipe's model; this task takes {', '.join(map(_flag, taken))}."
        )
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in given:
            raise InputError(f"the recipe's model needs {_flag(name)}; see --help.")
    if "class_names" in given:
        given["class_names"] = read_categories(given["class_names"])
    return given


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--config-file", required=True, metavar="PY", help="recipe of the model, or a run's config.yaml"
    )
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="pictures, videos, folders of them")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    parser.add_argument(
        "--device", default="auto", help="auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1, ..."
    )
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )

    def add(group: argparse._ArgumentGroup, name: str, **keywords: Any) -> None:
        # Without a default it is known what was given, and the task's own default is the only one.
        group.add_argument(name, default=argparse.SUPPRESS, **keywords)

    own = parser.add_argument_group("for some tasks")
    add(
        own,
        "--class-names",
        metavar="FILE",
        help="all but EVA-CLIP: one name a line, or JSON: a list, or COCO's categories; default: the recipe's",
    )
    add(
        own,
        "--batch-size",
        type=positive,
        metavar="N",
        help="classification, EVA-CLIP: pictures at once, default: 16",
    )
    detection = parser.add_argument_group("detection")
    add(detection, "--score-threshold", type=share, metavar="S", help="of detections, 0..1, default: 0.5")
    add(detection, "--max-frames", type=positive, metavar="N", help="only the first N frames of each video")
    clip = parser.add_argument_group("EVA-CLIP")
    add(
        clip,
        "--labels",
        nargs="+",
        metavar="TEXT",
        help="needed: two or more, or a .txt file with one a line; all up to the next option",
    )
    add(
        clip,
        "--templates",
        nargs="+",
        metavar="TEXT",
        help="sentences with {} in the place of the label, whose mean counts; imagenet_80 or imagenet_7 for the lists "
        "of the published evaluations; or a .txt file; default: a photo of {}.",
    )
    add(clip, "--top", type=positive, metavar="N", help="labels shown, default: 5")
    add(clip, "--dtype", choices=("float32", "bfloat16", "float16"), help="of the weights, default: float32")
    return parser
