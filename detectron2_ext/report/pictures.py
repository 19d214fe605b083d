"""Ground truth and predictions drawn side by side, from a COCO JSON and the results file of an evaluator."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from pycocotools import mask as mask_api

from detectron2_ext.prediction import draw_instances


@dataclass(frozen=True)
class PicturePair:
    """Two pictures [H, W, 3] uint8 of one image, and a line of text; ``wide`` pairs get the full width of a page."""

    caption: str
    ground_truth: np.ndarray
    prediction: np.ndarray
    wide: bool = False


def picture_pairs(
    json_file: str | Path,
    image_root: str | Path,
    predictions_file: str | Path,
    image_ids: Sequence[int] | None = None,
    *,
    min_score: float = 0.5,
    enlarge: int = 1,
) -> list[PicturePair]:
    """Pairs of the chosen images (by default all), in the order of ``image_ids``.

    Args:
        json_file: ground truth in COCO format; masks as polygons or run lengths, or boxes alone.
        predictions_file: coco_instances_results.json of the evaluator.
        min_score: predictions below are not drawn.
        enlarge: whole factor applied to the image before drawing, so that outlines of small objects stay thin.
    """
    truth = json.loads(Path(json_file).read_text(encoding="utf-8"))
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(categories)}
    names = [category["name"] for category in categories]
    annotations, found = defaultdict(list), defaultdict(list)
    for record in truth["annotations"]:
        if not record.get("iscrowd"):
            annotations[record["image_id"]].append(record)
    for record in json.loads(Path(predictions_file).read_text(encoding="utf-8")):
        if record["score"] >= min_score:
            found[record["image_id"]].append(record)

    images = {image["id"]: image for image in truth["images"]}
    pairs = []
    for image_id in images if image_ids is None else image_ids:
        image = images[image_id]
        with Image.open(Path(image_root, image["file_name"])) as file:
            pixels = np.array(file.convert("RGB").resize((file.width * enlarge, file.height * enlarge), Image.BICUBIC))
        left, right = (
            draw_instances(
                pixels, _instances(records[image_id], image, class_of, enlarge), names, labels=len(names) > 1
            )
            for records in (annotations, found)
        )
        caption = (
            f"{image['file_name']}: {len(annotations[image_id])} in the ground truth, {len(found[image_id])} found"
        )
        pairs.append(PicturePair(caption, left, right))
    return pairs


def mosaic(pictures: Sequence[np.ndarray], columns: int, gap: int = 2) -> np.ndarray:
    """Pictures of equal size [H, W, 3] in rows of ``columns``, ``gap`` white pixels between them."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def _instances(records: list[dict], image: dict, class_of: dict[int, int], enlarge: int) -> Instances:
    """COCO records in the fields that `draw_instances` reads, boxes only where there is no mask; no scores."""
    size = (image["height"] * enlarge, image["width"] * enlarge)
    instances = Instances(size)
    instances.pred_classes = torch.tensor([class_of[record["category_id"]] for record in records], dtype=torch.long)
    if records and all("segmentation" in record for record in records):
        masks = [_decode(record["segmentation"], image["height"], image["width"]) for record in records]
        instances.pred_masks = (
            torch.from_numpy(np.stack(masks)).repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2)
        )
    corners = [[x * enlarge, y * enlarge, (x + w) * enlarge, (y + h) * enlarge] for x, y, w, h in _boxes(records)]
    instances.pred_boxes = Boxes(torch.tensor(corners).reshape(-1, 4))
    return instances


def _boxes(records: list[dict]) -> list[list[float]]:
    return [record["bbox"] for record in records]


def _decode(segmentation: dict | list, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = mask_api.merge(mask_api.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_api.frPyObjects(segmentation, height, width)
    return mask_api.decode(segmentation).astype(bool)
