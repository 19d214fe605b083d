r"""Train a recipe of any task on its data or on your own, or measure weights by its evaluation.

    python -m tools train --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py \
        --train-json train.json --train-images photos --val-json val.json --val-images photos \
        train.init_checkpoint=eva_o365.pth train.output_dir=output/mine train.max_iter=2000
    python -m tools train --resume --config-file output/mine/config.yaml
    python -m tools evaluate --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \
        train.init_checkpoint=eva_coco_det.pth train.output_dir=output/evaluation

Exit status: 0 when the run is done or was stopped by a signal that it saved its work for, 2 for an unusable option,
config, weight file or record, 130 when it was interrupted.
"""

import argparse
import os
from collections.abc import Sequence

from .cli import command_parser, parse_with_overrides, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's text for the exit status."""
    args = parse_arguments(argv)
    return run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    # Imported late, so that --help and a wrong option answer at once.
    from eva_engine.training.command_line import run

    run(args)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options under the names that Detectron2 gave them, those for own data, and `opts`: the changes to the config."""
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", default="", metavar="FILE", help="recipe, or the config.yaml of a run")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in train.output_dir")
    parser.add_argument("--eval-only", action="store_true", help="measure train.init_checkpoint; what evaluate does")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build everything, try two batches and one test image, print the plan, keep nothing of the run",
    )
    parser.add_argument("opts", nargs="*", metavar="key=value", help="changes to the config")
    own = parser.add_argument_group("own data in COCO format", "class count and names come from the annotations")
    own.add_argument("--train-json", metavar="FILE", help="annotations to train on")
    own.add_argument("--train-images", metavar="DIR", help="folder that their file names are relative to")
    own.add_argument("--val-json", metavar="FILE", help="annotations to evaluate on")
    own.add_argument("--val-images", metavar="DIR", help="folder that their file names are relative to")
    many = parser.add_argument_group("many processes, where torchrun does not start them")
    many.add_argument("--num-gpus", type=int, default=1, metavar="N", help="of each machine, default: 1")
    many.add_argument("--num-machines", type=int, default=1, metavar="N", help="of the run, default: 1")
    many.add_argument("--machine-rank", type=int, default=0, metavar="N", help="number of this one, from 0")
    many.add_argument(
        "--dist-url",
        default=f"tcp://127.0.0.1:{49152 + os.getuid() % 16384}",  # Detectron2's: a port of its own for each user
        metavar="URL",
        help="tcp://HOST:PORT of the first machine; auto finds a free port on a single one; default: %(default)s",
    )
    return parse_with_overrides(parser, argv)
