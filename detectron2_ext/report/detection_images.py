"""Pictures of a detection run, from the predictions that its evaluator wrote."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from PIL.Image import Resampling
from pycocotools import mask as mask_api

from detectron2_ext.evaluation.annotation_check import complete_annotation, to_run_lengths
from detectron2_ext.prediction import draw_instances
from eva_engine.prediction import read_image
from eva_engine.report.image_pairs import ImagePair

NUM_IMAGES = 6
MIN_SCORE = 0.5
_PREDICTIONS = ("coco_instances_results.json", "lvis_instances_results.json")


def detection_image_pairs(cfg: DictConfig) -> tuple[Sequence[ImagePair], str]:
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
    pairs = image_pairs(truth, metadata.get("image_root") or "", newest, chosen, min_score=MIN_SCORE)
    note = (
        f"{len(chosen)} of the {len(truth['images'])} test images, at even distances in the order of their ids, those "
        f"without ground truth passed over; predictions with a score of {MIN_SCORE} and more."
    )
    return pairs, note


def image_pairs(
    truth: str | Path | Mapping[str, Any],
    image_root: str | Path,
    predictions_file: str | Path,
    image_ids: Sequence[int | str] | None = None,
    *,
    min_score: float = 0.5,
    enlarge: int = 1,
    max_side: int = 1024,
) -> list[ImagePair]:
    """Pairs of the chosen images (by default all), in the order of ``image_ids``.

    Categories that the ground truth does not list are left out, as in the evaluation.

    Args:
        truth: ground truth in COCO or LVIS format, a file or its content; masks as polygons or run lengths, or boxes
            alone.
        predictions_file: coco_instances_results.json of the evaluator.
        min_score: predictions below are not drawn.
        enlarge: whole factor applied to the image before drawing, so that outlines of small objects stay thin.
        max_side: a picture with a longer side than this, in pixels, is made smaller once it is drawn.
    """
    content = truth if isinstance(truth, Mapping) else json.loads(Path(truth).read_bytes())
    images = {image["id"]: image for image in content["images"]}
    chosen = list(images) if image_ids is None else list(image_ids)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(categories)}
    names = [category["name"] for category in categories]
    annotations, found = defaultdict(list), defaultdict(list)
    for record in content["annotations"]:
        if not record.get("iscrowd") and record["category_id"] in class_of:
            annotations[record["image_id"]].append(record)
    for record in read_predictions(predictions_file, set(chosen)):
        if record["score"] >= min_score and record["category_id"] in class_of:
            found[record["image_id"]].append(record)

    pairs = []
    for image_id in chosen:
        name = file_name(images[image_id])
        image = Image.fromarray(read_image(Path(image_root, name)))
        size = {"height": image.height, "width": image.width}
        pixels = np.array(image.resize((image.width * enlarge, image.height * enlarge), Resampling.BICUBIC))
        truths = [
            {"category_id": record["category_id"]} | complete_annotation(record, size, f"{name}: {record.get('id')}")
            for record in annotations[image_id]
        ]
        left, right = (
            _shrink(draw_instances(pixels, instances, names, labels=len(names) > 1), max_side)
            for instances in (_instances(records, size, class_of, enlarge) for records in (truths, found[image_id]))
        )
        caption = f"{name}: {len(annotations[image_id])} in the ground truth, {len(found[image_id])} found"
        pairs.append(ImagePair(caption, left, right))
    return pairs


def file_name(image: Mapping[str, Any]) -> str:
    """Path of an image below the folder of its data set; LVIS gives it as the end of an address."""
    return image.get("file_name") or "/".join(image["coco_url"].split("/")[-2:])


def spread_evenly(truth: Mapping[str, Any], count: int) -> list[int | str]:
    """Ids of ``count`` images with ground truth, at even distances in the order of their ids.

    The choice looks at no prediction: it shows a run as it is, and two runs on the same data show the same images.
    """
    annotated = {record["image_id"] for record in truth["annotations"] if not record.get("iscrowd")}
    ids = sorted(annotated & {image["id"] for image in truth["images"]})
    count = min(count, len(ids))
    return [ids[(2 * number + 1) * len(ids) // (2 * count)] for number in range(count)]


def _instances(records: list[dict], size: dict, class_of: dict[int, int], enlarge: int) -> Instances:
    """COCO records in the fields that `draw_instances` reads, boxes only where there is no mask; no scores."""
    instances = Instances((size["height"] * enlarge, size["width"] * enlarge))
    instances.pred_classes = torch.tensor([class_of[record["category_id"]] for record in records], dtype=torch.long)
    if records and all(record.get("segmentation") for record in records):
        instances.pred_masks_rle = [
            _enlarged(to_run_lengths(record["segmentation"], size), enlarge) for record in records
        ]
    corners = [[x, y, x + w, y + h] for x, y, w, h in (record["bbox"] for record in records)]
    instances.pred_boxes = Boxes(torch.tensor(corners).reshape(-1, 4) * enlarge)
    return instances


def _enlarged(lengths: dict, enlarge: int) -> dict:
    if enlarge == 1:
        return lengths
    mask = mask_api.decode(lengths).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return mask_api.encode(np.asfortranarray(mask))


def _shrink(picture: np.ndarray, max_side: int) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((max_side, max_side), Resampling.LANCZOS)
    return np.array(image)


_IMAGE_ID = re.compile(rb'"image_id": *("(?:[^"\\]|\\.)*"|[^,}\s]+)')


def read_predictions(path: str | Path, image_ids: Collection[int | str]) -> list[dict]:
    """Records of `image_ids` from a file in COCO's result format.

    The evaluators write one record per line: those of other images are then passed over without being parsed, which
    matters where a file has half a million masks. Any other layout is read as a whole.
    """
    records = list(_records_by_line(Path(path), image_ids))
    if None in records:
        records = json.loads(Path(path).read_bytes())
    return [record for record in records if record is not None and record["image_id"] in image_ids]


def _records_by_line(path: Path, image_ids: Collection[int | str]) -> Iterator[dict | None]:
    """The records; None, and an end, at a line that is not just one record."""
    wanted = {json.dumps(image_id).encode() for image_id in image_ids}
    with path.open("rb") as file:
        for line in file:
            text = line.strip().rstrip(b",")
            if text in (b"[", b"]", b""):
                continue
            found = _IMAGE_ID.findall(text)
            if len(found) != 1 or not (text.startswith(b"{") and text.endswith(b"}")):
                yield None
                return
            if found[0] in wanted:
                yield json.loads(text)
