"""The one description in memory of a dataset of any format: COCO content for each of its parts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from eva_engine.data.folder_files import natural_key

from ..data.coco_file import is_side, size_problem
from ..data.segmentation import MaskChecker, to_rle
from ..mask_windows import MaskWindow, encode_window
from .findings import Findings

_TOLERANCE = 1.0  # pixels by which labelling tools round
_BEYOND = 1e9  # larger numbers are not coordinates


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import; most have an effect on some formats only.

    Attributes:
        images: Folder of the images; None if they are with the annotations.
        format: Name of the format; None detects it.
        renamed: {class name of the data: its name here}. Two classes with the same new name become one; a class that is
            renamed to itself is not asked about.
        class_names: Names of the classes by their ids; None takes those of the data.
        pixels_from: 0 or 1, the number of the first pixel; None for what the format defines.
        difficult: "ignore" makes crowd regions of objects marked as difficult, "keep" treats them as others, "drop"
            leaves them out.
        listing: File with one stem of an annotation file per line, such as VOC's ImageSets/Main/train.txt.
        extracted: Folder for images that are embedded in annotations; None refuses such data.
    """

    images: Path | None = None
    format: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    class_names: Mapping[int, str] | None = None
    pixels_from: int | None = None
    difficult: str = "ignore"
    listing: Path | None = None
    extracted: Path | None = None


@dataclass
class ImportedData:
    """A dataset in memory.

    Attributes:
        format: Name of the format, such as "Pascal VOC".
        source: The folder or file.
        image_root: Folder that the file names of the images are relative to.
        parts: COCO content of each part: "train", "val" and "test" as far as the data has them, or "all".
        findings: What was left out or changed.
        is_class_list_given: Whether the data lists its classes; otherwise the names are those of the objects.
        json_files: The COCO file of each part that can be used as it is; empty if the data has another format.
        image_roots: The folder of the images of a part, where it is not `image_root`.
    """

    format: str
    source: Path
    image_root: Path
    parts: dict[str, dict[str, Any]]
    findings: Findings
    is_class_list_given: bool = False
    json_files: dict[str, Path] = field(default_factory=dict)
    image_roots: dict[str, Path] = field(default_factory=dict)

    def images_of(self, part: str) -> Path:
        """Return the folder that the file names of a part are relative to."""
        return self.image_roots.get(part, self.image_root)

    @property
    def class_names(self) -> dict[int, str]:
        """Class name by category id; all parts have the same."""
        content = next(iter(self.parts.values()))
        return {category["id"]: category["name"] for category in content["categories"]}

    def count_objects(self, part: str | None = None) -> Counter[str]:
        """Return the number of objects of each class, in one part or in all."""
        counts: Counter[str] = Counter()
        for name, content in self.parts.items():
            if part in (None, name):
                names = {category["id"]: category["name"] for category in content["categories"]}
                counts.update(dict.fromkeys(names.values(), 0))
                counts.update(names.get(record.get("category_id"), "?") for record in content["annotations"])
        return counts


@dataclass
class ImageEntry:
    """An image to which objects are added.

    Attributes:
        part: Part of the dataset.
        record: Its COCO record.
        source: The annotation file, for findings.
    """

    part: str
    record: dict[str, Any]
    source: str


class DatasetBuilder:
    """Collect the images and objects of a format that is not COCO's, and check each object once.

    Boxes and polygons are in pixels, with the origin at the top left corner of the image and the first pixel from 0 to
    1, as in COCO. Everything that is cut or left out is counted in `findings`.

    Args:
        findings: Where flaws are counted.
        renamed: New names of classes; see `ImportOptions`.
    """

    def __init__(self, findings: Findings, renamed: Mapping[str, str]) -> None:
        self.findings = findings
        self._renamed = renamed
        self._images: dict[str, list[dict[str, Any]]] = {}
        self._objects: dict[str, list[dict[str, Any]]] = {}
        self._masks = MaskChecker()

    def add_image(self, part: str, file_name: str, width: object, height: object, source: str) -> ImageEntry | None:
        """Add an image; None if its size is not valid, which is recorded."""
        problem = size_problem(width, height)
        if problem is not None or not (is_side(width) and is_side(height)):
            self.findings.refuse(source, f"its image {file_name} {problem}")
            return None
        record = {"id": len(self._images.setdefault(part, [])) + 1, "file_name": file_name}
        record |= {"width": width, "height": height}
        self._images[part].append(record)
        self._objects.setdefault(part, [])
        return ImageEntry(part, record, source)

    def add_box(
        self, image: ImageEntry, name: object, corners: Sequence[float], crowd: bool = False, **more: object
    ) -> None:
        """Add an object with the corners (x0, y0, x1, y1) of its box, which are cut at the border of the image.

        Args:
            image: Its image.
            name: Name of its class.
            corners: The corners; not finite for a box that cannot be read.
            crowd: Whether it is a crowd region.
            more: Further keys of the record.
        """
        box = self._cut_box(image, corners)
        if box is not None:
            self._add(image, name, box, None, box[2] * box[3], crowd, more)

    def add_polygons(
        self, image: ImageEntry, name: object, polygons: Sequence[np.ndarray], crowd: bool = False, **more: object
    ) -> None:
        """Add an object with the outlines [N, 2] of its parts; those of fewer than three corners are left out."""
        height, width = image.record["height"], image.record["width"]
        if not all(np.isfinite(polygon).all() and (np.abs(polygon) < _BEYOND).all() for polygon in polygons):
            self.findings.count("bad_numbers", image.source)
            return
        outlines = [polygon for polygon in polygons if len(polygon) >= 3 and np.ptp(polygon, axis=0).min() > 0]
        if not outlines:
            self.findings.count("no_area", image.source)
            return
        points = np.concatenate(outlines)
        box = self._cut_box(image, (*points.min(axis=0).tolist(), *points.max(axis=0).tolist()))
        if box is None:
            return
        if points.min() < 0 or (points.max(axis=0) > (width, height)).any():
            # Rounding alone must not make an outline cross the border. What lies further out is cut in training.
            nearest = [outline.clip(0, (width, height)) for outline in outlines]
            is_near = all(np.abs(old - new).max() <= _TOLERANCE for old, new in zip(outlines, nearest, strict=True))
            outlines = nearest if is_near else outlines
        segmentation = [outline.ravel().tolist() for outline in outlines]
        if self._masks.problem(segmentation, height, width) is not None:
            self.findings.count("outside", image.source)
            return
        if len(outlines) == 1:
            area = _polygon_area(outlines[0].clip(0, (width, height)))
        else:
            area = float(mask_api.area(to_rle(segmentation, height, width)))
        self._add(image, name, box, segmentation, area, crowd, more)

    def add_mask(
        self, image: ImageEntry, name: object, window: MaskWindow, crowd: bool = False, **more: object
    ) -> None:
        """Add an object with a mask, whose window may extend beyond the image."""
        height, width = image.record["height"], image.record["width"]
        top, left = max(window.top, 0), max(window.left, 0)
        bottom, right = max(height - window.top, 0), max(width - window.left, 0)
        inside = window.mask[top - window.top : bottom, left - window.left : right]
        if not inside.any():
            self.findings.count("outside" if window.mask.any() else "no_area", image.source)
            return
        if inside.sum() < window.mask.sum():
            self.findings.count("cut", image.source)
        rle = encode_window(MaskWindow(top, left, inside), (height, width))
        segmentation = {"size": [height, width], "counts": rle["counts"].decode("ascii")}
        box, area = mask_api.toBbox(rle).tolist(), float(mask_api.area(rle))
        self._add(image, name, box, segmentation, area, crowd, more)

    def _cut_box(self, image: ImageEntry, corners: Sequence[float]) -> list[float] | None:
        """Return [x, y, width, height] inside of the image; None, counted, if there is nothing or it is unreadable."""
        x0, y0, x1, y1 = corners
        if not all(math.isfinite(value) and abs(value) < _BEYOND for value in corners):
            self.findings.count("bad_numbers", image.source)
            return None
        if x1 <= x0 or y1 <= y0:
            self.findings.count("no_area", image.source)
            return None
        width, height = image.record["width"], image.record["height"]
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if right <= left or bottom <= top:
            self.findings.count("outside", image.source)
            return None
        if min(x0, y0, width - x1, height - y1) < -_TOLERANCE:
            self.findings.count("cut", image.source)
        return [left, top, right - left, bottom - top]

    def _add(
        self,
        image: ImageEntry,
        name: object,
        box: list[float],
        segmentation: list | dict | None,
        area: float,
        crowd: bool,
        more: Mapping[str, object],
    ) -> None:
        class_name = str(name).strip() if isinstance(name, str | int) else ""
        if not class_name:
            self.findings.count("no_class", image.source)
            return
        if crowd:
            self.findings.count("crowd", image.source)
        objects = self._objects[image.part]
        record: dict[str, Any] = {"id": len(objects) + 1, "image_id": image.record["id"]}
        record |= {"category_id": self._renamed.get(class_name, class_name), "bbox": box, "area": area}
        record |= {"iscrowd": int(crowd), **more}
        if segmentation is not None:
            record["segmentation"] = segmentation
        objects.append(record)

    def finish(self, class_names: Mapping[int, str] | None) -> dict[str, dict[str, Any]]:
        """Return the COCO content of each part.

        Args:
            class_names: Name by category id; objects of other classes are left out. None numbers the classes of the
                objects from 1 on, in natural order.
        """
        if class_names is None:
            found: set[str] = set()
            for objects in self._objects.values():
                found.update(record["category_id"] for record in objects)
            class_names = dict(enumerate(sorted(found, key=natural_key), start=1))
        ids: dict[str, int] = {}
        for category_id, name in class_names.items():
            ids.setdefault(self._renamed.get(name, name), category_id)
        parts = {}
        for part, objects in self._objects.items():
            sources = {record["id"]: record["file_name"] for record in self._images[part]}
            kept: list[dict[str, Any]] = []
            for record in objects:
                if record["category_id"] in ids:
                    kept.append(record | {"id": len(kept) + 1, "category_id": ids[record["category_id"]]})
                else:
                    self.findings.count("unknown_class", sources[record["image_id"]])
            categories = [{"id": number, "name": name} for name, number in ids.items()]
            parts[part] = {"images": self._images[part], "annotations": kept, "categories": categories}
        return parts


def _polygon_area(points: np.ndarray) -> float:
    """Return the area of a polygon [N, 2] in square pixels, by the shoelace formula."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
