"""Say which of your own labels fits each of your own pictures: a table, a contact sheet, JSON lines and CSV.

    python tools/zero_shot.py --weights eva_clip_psz14.pt --input photos/ --labels "a cat" "a dog" --output scores/

Exit status: 0 when every input was done, 1 when some failed (each is named; the others are done), 2 for an unusable
option, label or weight file.
"""

import argparse
import logging
import sys

from detectron2_ext.commands import command_parser, positive, run_command
from eva_backbone.errors import InputError

DTYPES = ("float32", "bfloat16", "float16")


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: _run(args), finished=args.output)


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    import torch

    from detectron2_ext.prediction import list_inputs
    from eva_clip.evaluation import read_templates
    from eva_clip.prediction import LabelPredictor, load_model, read_labels, score_files, undrawable_labels

    labels = read_labels(args.labels)
    templates = read_templates(args.templates[0] if len(args.templates) == 1 else args.templates)
    found = list_inputs(args.input, args.output, args.recursive)
    paths = [item.path for item in found.inputs if item.kind == "image"]
    found.unusable += [f"{item.path}: a video; give pictures" for item in found.inputs if item.kind == "video"]
    for problem in found.unusable:
        print(f"failed: {problem}", file=sys.stderr)
    if not paths:
        raise InputError(f"no picture in {', '.join(args.input)}: name files or folders that have some.")
    model, transform = load_model(
        args.weights, name=args.model, config_file=args.config_file, dtype=getattr(torch, args.dtype)
    )
    predictor = LabelPredictor(model, transform, labels, templates, args.device)
    if predictor.cut:
        names = ", ".join(repr(label if len(label) <= 60 else f"{label[:60]}...") for label in predictor.cut)
        print(
            f"cut to the {predictor.context_length} tokens that the model reads: {len(predictor.cut)} of "
            f"{len(labels)} labels ({names})",
            file=sys.stderr,
        )
    summary = score_files(predictor, paths, args.output, top=args.top, batch_size=args.batch_size)
    num_failed = len(summary.failures) + len(found.unusable)
    print(f"pictures: {summary.num_images}, failed: {num_failed}, other files skipped: {found.num_skipped}")
    if summary.sheets:
        print("contact sheets: " + ", ".join(map(str, summary.sheets)))
        by_number = [f"label {number} is {labels[number - 1]!r}" for number in undrawable_labels(labels)]
        if by_number:
            print("drawn by number, as no font here has their letters: " + ", ".join(by_number))
    return 1 if num_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--weights", required=True, metavar="FILE", help="weight file of the model")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="pictures, folders of them")
    parser.add_argument(
        "--labels", required=True, nargs="+", metavar="TEXT", help="two or more, or a .txt file with one a line"
    )
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="for contact_sheet*.png, scores.jsonl and scores.csv"
    )
    parser.add_argument(
        "--templates",
        nargs="+",
        default=["a photo of {}."],
        metavar="TEXT",
        help="sentences with {} in the place of the label, whose mean counts; imagenet_80 or imagenet_7 for the lists "
        "of the published evaluations; or a .txt file; default: %(default)s",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", default="eva_clip_g14", metavar="NAME", help="model by name, default: %(default)s")
    model.add_argument("--config-file", metavar="PY", help="LazyConfig of the model, or config.yaml of a run")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="of the weights, default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one, else CPU), cpu, cuda:1, ...")
    parser.add_argument(
        "--batch-size", type=positive, default=16, metavar="N", help="pictures at once, default: %(default)s"
    )
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="labels shown, default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="search the folders' sub-folders too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
