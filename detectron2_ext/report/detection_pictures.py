"""Pictures of a detection run, from the predictions that its evaluator wrote."""

import json
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import MetadataCatalog
from omegaconf import DictConfig, OmegaConf

from .pictures import PicturePair, picture_pairs, spread_evenly

NUM_IMAGES = 6
MIN_SCORE = 0.5
_PREDICTIONS = ("coco_instances_results.json", "lvis_instances_results.json")


def detection_pictures(cfg: DictConfig) -> tuple[Sequence[PicturePair], str]:
    """Pairs of a few test images and a sentence on how they were chosen; none for what is no detection run.

    Only these images are opened, and only their predictions are parsed.
    """
    name, folder = (OmegaConf.select(cfg, f"dataloader.evaluator.{key}") for key in ("dataset_name", "output_dir"))
    files = [Path(folder, file) for file in _PREDICTIONS if Path(folder, file).is_file()] if folder else []
    if not isinstance(name, str) or not files:
        return (), ""
    metadata = MetadataCatalog.get(name)
    # A data set without an annotation file has one that the evaluator wrote, with full paths.
    truth_file = metadata.get("json_file") or Path(folder, f"{name}_coco_format.json")
    truth = json.loads(Path(truth_file).read_bytes())
    if not truth.get("annotations"):
        return (), ""
    chosen = spread_evenly(truth, NUM_IMAGES)
    newest = max(files, key=lambda file: file.stat().st_mtime)
    pairs = picture_pairs(truth, metadata.get("image_root") or "", newest, chosen, min_score=MIN_SCORE)
    note = (
        f"{len(chosen)} of the {len(truth['images'])} test images, at even distances in the order of their ids, those "
        f"without ground truth passed over; predictions with a score of {MIN_SCORE} and more."
    )
    return pairs, note
