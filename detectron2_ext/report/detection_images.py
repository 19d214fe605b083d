"""Draw ground truth and predictions of a detection run, from the predictions that its evaluator wrote."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from PIL.Image import Resampling
from pycocotools import mask as mask_api

from detectron2_ext.data.coco_file import read_coco_file
from detectron2_ext.data.image_paths import check_inside
from detectron2_ext.data.segmentation import MaskChecker, to_rle
from detectron2_ext.evaluation.annotation_check import complete_annotation
from detectron2_ext.prediction import draw_instances
from eva_engine.data import read_rgb_image
from eva_engine.report.image_pairs import ImagePair
from eva_engine.text_file import parse_json, read_json

NUM_IMAGES = 6
MIN_SCORE = 0.5
_PREDICTION_FILES = ("coco_instances_results.json", "lvis_instances_results.json")


def run_image_pairs(cfg: DictConfig) -> tuple[Sequence[ImagePair], str]:
    """Draw a few test images of a finished run.

    Only these images are opened, and only their predictions are parsed.

    Args:
        cfg: Config of the run.

    Returns:
        The pairs of ground truth and prediction, and a sentence on how the images were chosen. Both are empty for a run
        without detection predictions or without ground truth.
    """
    dataset_name = OmegaConf.select(cfg, "dataloader.evaluator.dataset_name")
    folder = OmegaConf.select(cfg, "dataloader.evaluator.output_dir")
    if not isinstance(dataset_name, str) or not folder:
        return (), ""
    files = [Path(folder, name) for name in _PREDICTION_FILES]
    files = [file for file in files if file.is_file()]
    if not files:
        return (), ""
    metadata = MetadataCatalog.get(dataset_name)
    image_root = metadata.get("image_root") or ""
    if metadata.get("json_file"):
        ground_truth = read_coco_file(metadata.json_file, test_set=True)
    else:
        # The evaluator has written a file, in which only paths of the dataset are trusted.
        ground_truth = read_coco_file(Path(folder, f"{dataset_name}_coco_format.json"), test_set=True)
        known = {record["file_name"] for record in DatasetCatalog.get(dataset_name)}
        ground_truth["images"] = [image for image in ground_truth["images"] if image.get("file_name") in known]
        for image in ground_truth["images"]:
            image["file_name"] = os.path.abspath(image["file_name"])
        image_root = "/"
    if not ground_truth.get("annotations"):
        return (), ""
    chosen = spread_evenly(ground_truth, NUM_IMAGES)
    newest = max(files, key=lambda file: file.stat().st_mtime)
    pairs = draw_image_pairs(ground_truth, image_root, newest, chosen, min_score=MIN_SCORE)
    note = (
        f"{len(chosen)} of the {len(ground_truth['images'])} test images, evenly spaced in the order of their ids; "
        f"images without ground truth are left out. Predictions with a score of at least {MIN_SCORE} are shown."
    )
    return pairs, note


def draw_image_pairs(
    ground_truth: str | Path | Mapping[str, Any],
    image_root: str | Path,
    predictions_file: str | Path,
    image_ids: Sequence[int | str] | None = None,
    *,
    min_score: float = 0.5,
    enlarge: int = 1,
    max_side: int = 1024,
) -> list[ImagePair]:
    """Draw the ground truth and the predictions of chosen images.

    Categories that the ground truth does not list are left out, as in the evaluation.

    Args:
        ground_truth: Annotations in COCO or LVIS format, as a file or its content; with masks (polygons or RLE) or
            boxes only.
        image_root: Folder that the file names are relative to.
        predictions_file: Result file of the evaluator, coco_instances_results.json or lvis_instances_results.json.
        image_ids: Images to draw, in this order; None draws all images of the ground truth.
        min_score: Predictions with a lower score are not drawn.
        enlarge: Integer factor by which the image is enlarged before drawing, so that outlines of small objects stay
            thin.
        max_side: Longest side of the result in pixels; a larger image is shrunk after drawing.

    Returns:
        One pair per image.
    """
    content = ground_truth if isinstance(ground_truth, Mapping) else read_coco_file(ground_truth)
    images = {image["id"]: image for image in content["images"]}
    chosen = list(images) if image_ids is None else list(image_ids)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    class_indices = {category["id"]: index for index, category in enumerate(categories)}
    class_names = [category["name"] for category in categories]
    annotations, predictions = defaultdict(list), defaultdict(list)
    for record in content["annotations"]:
        if not record.get("iscrowd") and record["category_id"] in class_indices:
            annotations[record["image_id"]].append(record)
    for record in read_predictions(predictions_file, set(chosen)):
        if record["score"] >= min_score and record["category_id"] in class_indices:
            predictions[record["image_id"]].append(record)

    pairs = []
    masks = MaskChecker()
    for image_id in chosen:
        name = file_name(images[image_id])
        path = os.path.join(image_root, name)
        check_inside(path, [str(image_root)], f"image {image_id}")
        if not os.path.isfile(path):
            path = os.path.join(image_root, name.replace("\\", "/"))
        image = Image.fromarray(read_rgb_image(path))
        size = {"height": image.height, "width": image.width}
        pixels = np.array(image.resize((image.width * enlarge, image.height * enlarge), Resampling.BICUBIC))
        completed = []
        for record in annotations[image_id]:
            annotation, problem = complete_annotation(record, size, masks)
            if problem is None:  # otherwise the evaluator has reported it
                completed.append({"category_id": record["category_id"]} | annotation)
        drawn = []
        for records in (completed, predictions[image_id]):
            instances = make_instances(records, size, class_indices, enlarge)
            several = len(class_names) > 1
            # With a single class, different colors of neighbours say more.
            color_by = "class" if several else "instance"
            drawing = draw_instances(pixels, instances, class_names, color_by=color_by, labels=several)
            drawn.append(_shrink(drawing, max_side))
        caption = f"{name}: {len(annotations[image_id])} in the ground truth, {len(predictions[image_id])} found"
        pairs.append(ImagePair(caption, drawn[0], drawn[1]))
    return pairs


def file_name(image: Mapping[str, Any]) -> str:
    """Return the path of an image relative to its image folder; LVIS gives it as the end of `coco_url`."""
    return image.get("file_name") or "/".join(image["coco_url"].split("/")[-2:])


def spread_evenly(ground_truth: Mapping[str, Any], count: int) -> list[int | str]:
    """Return the ids of `count` images with ground truth, evenly spaced in the order of their ids.

    The choice does not depend on the predictions, so it is not biased towards good results, and two runs on the same
    data show the same images.
    """
    annotated = {record["image_id"] for record in ground_truth["annotations"] if not record.get("iscrowd")}
    ids = sorted(annotated & {image["id"] for image in ground_truth["images"]})
    count = min(count, len(ids))
    # The middle of each of `count` equal parts of the list.
    return [ids[(2 * part + 1) * len(ids) // (2 * count)] for part in range(count)]


def make_instances(records: list[dict], size: dict, class_indices: dict[int, int], enlarge: int) -> Instances:
    """Convert COCO records to the fields that `draw_instances` reads, with masks only if every record has one.

    Scores are left out.
    """
    instances = Instances((size["height"] * enlarge, size["width"] * enlarge))
    classes = [class_indices[record["category_id"]] for record in records]
    instances.pred_classes = torch.tensor(classes, dtype=torch.long)
    if records and all(record.get("segmentation") for record in records):
        rles = [to_rle(record["segmentation"], size["height"], size["width"]) for record in records]
        instances.pred_masks_rle = [_enlarge_rle(rle, enlarge) for rle in rles]
    corners = []
    for record in records:
        x, y, width, height = record["bbox"]
        corners.append([x, y, x + width, y + height])
    instances.pred_boxes = Boxes(torch.tensor(corners).reshape(-1, 4) * enlarge)
    return instances


def _enlarge_rle(rle: dict, enlarge: int) -> dict:
    if enlarge == 1:
        return rle
    mask = mask_api.decode(rle).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return mask_api.encode(np.asfortranarray(mask))


def _shrink(pixels: np.ndarray, max_side: int) -> np.ndarray:
    image = Image.fromarray(pixels)
    image.thumbnail((max_side, max_side), Resampling.LANCZOS)
    return np.array(image)


_IMAGE_ID = re.compile(rb'"image_id": *("(?:[^"\\]|\\.)*"|[^,}\s]+)')


def read_predictions(path: str | Path, image_ids: Collection[int | str]) -> list[dict]:
    """Read the records of `image_ids` from a file in COCO's result format.

    The evaluators write one record per line. The lines of other images are then skipped without parsing them, which
    matters for a file with half a million masks. A file of any other layout is parsed completely.
    """
    records = _records_by_line(Path(path), image_ids)
    if records is None:
        records = read_json(path, "file of predictions", "evaluate again")
    return [record for record in records if record["image_id"] in image_ids]


def _records_by_line(path: Path, image_ids: Collection[int | str]) -> list[dict] | None:
    """Parse only the lines of `image_ids`; return None if any line is not exactly one record."""
    wanted = {json.dumps(image_id).encode() for image_id in image_ids}
    records = []
    with path.open("rb") as file:
        for line in file:
            text = line.strip().rstrip(b",")
            if text in (b"[", b"]", b""):
                continue
            matches = _IMAGE_ID.findall(text)
            is_one_record = len(matches) == 1 and text.startswith(b"{") and text.endswith(b"}")
            if not is_one_record:
                return None
            if matches[0] in wanted:
                records.append(parse_json(text.decode(errors="replace"), str(path), "evaluate again"))
    return records
