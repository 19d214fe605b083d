"""Ground truth and predictions drawn side by side, from a COCO JSON and the results file of an evaluator."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from PIL.Image import Resampling
from pycocotools import mask as mask_api

from detectron2_ext.evaluation.annotation_check import complete_annotation, to_run_lengths
from detectron2_ext.prediction import draw_instances, read_image

from .prediction_file import read_predictions


@dataclass(frozen=True)
class PicturePair:
    """Two pictures [H, W, 3] uint8 of one image, and a line of text; ``wide`` pairs get the full width of a page."""

    caption: str
    ground_truth: np.ndarray
    prediction: np.ndarray
    wide: bool = False


def picture_pairs(
    truth: str | Path | Mapping[str, Any],
    image_root: str | Path,
    predictions_file: str | Path,
    image_ids: Sequence[int | str] | None = None,
    *,
    min_score: float = 0.5,
    enlarge: int = 1,
    max_side: int = 1024,
) -> list[PicturePair]:
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
        pairs.append(PicturePair(caption, left, right))
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


def mosaic(pictures: Sequence[np.ndarray], columns: int, gap: int = 2) -> np.ndarray:
    """Pictures of equal size [H, W, 3] in rows of ``columns``, ``gap`` white pixels between them."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = picture
    return canvas


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
