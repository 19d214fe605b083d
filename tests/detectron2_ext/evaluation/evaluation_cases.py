"""Small, seeded, synthetic datasets with many of the corner cases in which implementations of the metrics differ."""

from dataclasses import dataclass, field

import hotcoco
import numpy as np
import pycocotools.mask as mask_util


@dataclass(frozen=True)
class CaseOptions:
    """Contents of a synthetic dataset.

    Attributes:
        num_images: images, of 120 to 360 px a side.
        num_objects: range of annotations per image.
        num_detections: range of detections per image.
        category_ids: category ids, in the order they stand in the JSON.
        unused_categories: how many of them, counted from the last, get no annotation.
        empty_images: share of images without annotations, and again without detections.
        crowds: share of annotations that are crowd regions.
        ignored: share of annotations with `ignore` set (read by LVIS only).
        score_levels: number of distinct scores, so small values make ties; 0 for continuous scores.
        grid: coordinates are multiples of this many pixels (exact IoU ties); 0 for real numbers.
        masks: how annotations are segmented: "polygon", "rle", "counts" (uncompressed), "mixed", or "" for none.
        lvis: adds `neg_category_ids`, `not_exhaustive_category_ids` and category frequencies.
    """

    num_images: int = 10
    num_objects: tuple[int, int] = (0, 8)
    num_detections: tuple[int, int] = (0, 16)
    category_ids: tuple[int, ...] = (1, 2, 3, 4)
    unused_categories: int = 0
    empty_images: float = 0.1
    crowds: float = 0.0
    ignored: float = 0.0
    score_levels: int = 0
    grid: int = 0
    masks: str = "mixed"
    lvis: bool = False


@dataclass
class Case:
    """A ground truth in COCO format and detections in COCO's result format (with masks unless the options say none)."""

    ground_truth: dict
    detections: list[dict] = field(default_factory=list)

    def results(self, task: str) -> list[dict]:
        """Return copies with only the keys that `task` reads: a mask with a box would get the area of the box."""
        drop = {"bbox": "segmentation", "segm": "bbox"}[task]
        return [{key: value for key, value in detection.items() if key != drop} for detection in self.detections]


def make_case(seed: int, options: CaseOptions) -> Case:
    """Generate one dataset; the same seed and options give the same dataset."""
    rng = np.random.default_rng(seed)
    used = options.category_ids[: len(options.category_ids) - options.unused_categories]
    image_ids = rng.permutation(1000)[: options.num_images]
    images, annotations, detections = [], [], []
    for image_id in image_ids:
        width, height = (int(size) for size in rng.integers(120, 361, 2))
        image = {"id": int(image_id), "width": width, "height": height, "file_name": f"{image_id}.jpg"}
        objects = []
        if rng.random() >= options.empty_images:
            for _ in range(rng.integers(*options.num_objects, endpoint=True)):
                objects.append((_draw_box(rng, width, height, options.grid), int(rng.choice(used))))
        for box, category_id in objects:
            annotation = {"image_id": image["id"], "category_id": category_id, "bbox": box, "iscrowd": 0}
            annotation["area"] = box[2] * box[3] * float(rng.choice([1.0, 0.7]))
            crowd = rng.random() < options.crowds
            if crowd:
                annotation["iscrowd"] = 1
            if rng.random() < options.ignored:
                annotation["ignore"] = 1
            if options.masks:
                style = str(rng.choice(["polygon", "rle", "counts"])) if options.masks == "mixed" else options.masks
                annotation["segmentation"] = _segment(rng, box, height, width, "counts" if crowd else style)
            annotations.append(annotation)
        if options.lvis:
            present = {category_id for _, category_id in objects}
            absent = [c for c in options.category_ids if c not in present]
            image["neg_category_ids"] = [int(c) for c in absent if rng.random() < 0.4]
            image["not_exhaustive_category_ids"] = [c for c in present if rng.random() < 0.3]
        images.append(image)
        if rng.random() >= options.empty_images:
            detections += _draw_detections(rng, image, objects, options)
    for index in rng.permutation(len(annotations)):
        annotations[index]["id"] = int(index) + 1
    categories = [
        {"id": c, "name": f"class {c}", "frequency": "rcf"[i % 3]} for i, c in enumerate(options.category_ids)
    ]
    return Case({"images": images, "annotations": annotations, "categories": categories}, detections)


def _draw_detections(rng, image, objects, options):
    detections = []
    for _ in range(rng.integers(*options.num_detections, endpoint=True)):
        width, height = image["width"], image["height"]
        if objects and rng.random() < 0.7:
            box, category_id = objects[rng.integers(len(objects))]
            noise = rng.normal(0, rng.choice([0.02, 0.15]), 4) * np.array([box[2], box[3], box[2], box[3]])
            if options.grid:
                noise = np.round(noise / options.grid) * options.grid
            box = [float(v) for v in np.array(box) + noise]
            box = [box[0], box[1], max(box[2], 2.0), max(box[3], 2.0)]
            if rng.random() < 0.15:
                category_id = int(rng.choice(options.category_ids))
        else:
            box, category_id = _draw_box(rng, width, height, options.grid), int(rng.choice(options.category_ids))
        score = float(rng.random())
        if options.score_levels:
            score = float(np.ceil(score * options.score_levels) / options.score_levels)
        detection = {"image_id": image["id"], "category_id": category_id, "bbox": box, "score": score}
        if options.masks:
            detection["segmentation"] = _segment(rng, box, height, width, "rle")
        detections.append(detection)
    return detections


def _draw_box(rng, width, height, grid):
    """Side lengths are log-uniform so that all three area ranges (32^2 and 96^2 apart) are filled."""
    w, h = np.exp(rng.uniform(np.log(6), np.log([width, height])))
    x, y = rng.uniform(0, [width - w, height - h])
    box = np.array([x, y, w, h])
    if grid:
        box = np.maximum(np.round(box / grid), [0, 0, 1, 1]) * grid
    return [float(v) for v in box]


def _segment(rng, box, height, width, style):
    """An ellipse with a wavy edge inside the box, sometimes in two parts."""
    x, y, w, h = box
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    radius = rng.uniform(0.7, 1.0, len(angles)) / 2
    outline = np.stack([x + w * (0.5 + radius * np.cos(angles)), y + h * (0.5 + radius * np.sin(angles))], 1)
    polygons = [outline.round(2).ravel().tolist()]
    if rng.random() < 0.2:
        polygons.append([x, y, x + w / 4, y, x + w / 4, y + h / 4, x, y + h / 4])
    if style == "polygon":
        return polygons
    rle = mask_util.merge(mask_util.frPyObjects(polygons, height, width))
    if style == "rle":
        return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    return {"size": list(rle["size"]), "counts": _run_lengths(hotcoco.mask.decode(rle))}


def _run_lengths(mask):
    """Column-major run lengths that start with the zeros, as COCO writes crowd regions."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=2))
    return np.diff(np.concatenate([[0], edges])).tolist()
