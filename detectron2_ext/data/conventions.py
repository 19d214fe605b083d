"""Notice annotation files that follow another convention than COCO's, although every single record could be valid."""

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as mask_api

from eva_engine.data_check.findings import MAX_EXAMPLES, Finding, Severity

from .coco_images import CheckedImages
from .drawn_example import box_example

# Rounding moves boxes and polygons by less than a pixel. In 2,000 objects of COCO and LVIS no box is cut or tiny, but
# 1 % of LVIS's masks lie outside of their box.
_TOLERANCE = 1.0
_RARE = 0.02
_MANY_CROWDS = 0.1  # in COCO it is 0.01
_MAX_NAMES = 10


@dataclass
class BoxStatistics:
    """Numbers of objects whose box is unusual.

    Attributes:
        total: All objects.
        cut: The box extends beyond its image.
        tiny: The box is not larger than one pixel.
        like_corners: The box would be valid as [x0, y0, x1, y1].
        outside: Less than half of the mask is in the box.
        examples: {name of one of these counts: (row of the image, box) of the first objects}.
    """

    total: int = 0
    cut: int = 0
    tiny: int = 0
    like_corners: int = 0
    outside: int = 0
    examples: dict[str, list[tuple[int, Sequence[float]]]] = field(default_factory=dict)

    def add_boxes(self, boxes: np.ndarray, images: np.ndarray, widths: np.ndarray, heights: np.ndarray) -> None:
        """Count objects without masks.

        Args:
            boxes: x, y, width and height in pixels, [N, 4].
            images: Row of the image of each object, [N].
            widths: Width of this image in pixels, [N].
            heights: Height of this image in pixels, [N].
        """
        x, y, w, h = boxes.T
        self.total += len(boxes)
        beyond = np.minimum(np.minimum(x, y), np.minimum(widths - x - w, heights - y - h))
        for kind, chosen in (("cut", beyond < -_TOLERANCE), ("tiny", (w <= 1) & (h <= 1))):
            objects = np.flatnonzero(chosen)
            setattr(self, kind, getattr(self, kind) + len(objects))
            for index in objects[:MAX_EXAMPLES].tolist():
                self._add_example(kind, int(images[index]), boxes[index].tolist())
        is_like_corners = (x >= 0) & (y >= 0) & (x < w) & (w <= widths + _TOLERANCE)
        self.like_corners += int((is_like_corners & (y < h) & (h <= heights + _TOLERANCE)).sum())

    def add(self, box: Sequence[float], mask: list | dict | None, image: int, width: int, height: int) -> None:
        """Count an object.

        Args:
            box: x, y, width and height in pixels.
            mask: Its checked mask, if it has one.
            image: Row of its image.
            width: Width of the image in pixels.
            height: Height of the image in pixels.
        """
        x, y, w, h = box
        self.total += 1
        if min(x, y, width - x - w, height - y - h) < -_TOLERANCE:
            self.cut += 1
            self._add_example("cut", image, box)
        if w <= 1 and h <= 1:
            self.tiny += 1
            self._add_example("tiny", image, box)
        self.like_corners += x >= 0 and y >= 0 and x < w <= width + _TOLERANCE and y < h <= height + _TOLERANCE
        if mask is not None:
            left, top, right, bottom = _bounds(mask)
            both_x = min(right, x + w + _TOLERANCE) - max(left, x - _TOLERANCE)
            both_y = min(bottom, y + h + _TOLERANCE) - max(top, y - _TOLERANCE)
            if max(both_x, 0) * max(both_y, 0) < (right - left) * (bottom - top) / 2:
                self.outside += 1
                self._add_example("outside", image, box)

    def _add_example(self, kind: str, image: int, box: Sequence[float]) -> None:
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append((image, box))

    def findings(self, source: str, records: Sequence[dict]) -> list[Finding]:
        """Return a finding for each kind of unusual box in the file `source`, whose images are `records`."""
        found = []
        if self.cut:
            severity, fix = Severity.WARNING, "correct those that are not meant to"
            if self.like_corners > (1 - _RARE) * self.total:
                severity = Severity.ERROR
                fix = "they look like corners [x0, y0, x1, y1], but COCO's boxes are [x, y, width, height]"
            what = f"{self.cut} of {self.total} boxes extend beyond their image and are cut at the border"
            found.append(self._finding("cut-boxes", severity, what, "cut", fix, source, records))
        if self.tiny > _RARE * self.total:
            what = f"{self.tiny} of {self.total} boxes are not larger than one pixel"
            fix = "they look like fractions of the image size, but COCO's boxes are in pixels"
            found.append(self._finding("tiny-boxes", Severity.ERROR, what, "tiny", fix, source, records))
        if self.outside > _RARE * self.total:
            what = f"{self.outside} of {self.total} masks lie mostly outside of their box"
            kind = Severity.WARNING, what, "outside", "check both", source, records
            found.append(self._finding("masks-outside-boxes", *kind))
        return found

    def _finding(
        self, code: str, severity: Severity, what: str, kind: str, fix: str, source: str, records: Sequence[dict]
    ) -> Finding:
        examples = tuple(box_example(records[image], [box]) for image, box in self.examples[kind])
        return Finding(code, severity, what, getattr(self, kind), fix, examples, source)


def _bounds(mask: list | dict) -> tuple[float, float, float, float]:
    if isinstance(mask, dict):
        x, y, w, h = mask_api.toBbox(mask)
        return x, y, x + w, y + h
    points = np.concatenate(mask)
    return points[0::2].min(), points[1::2].min(), points[0::2].max(), points[1::2].max()


def listed_twice_findings(names: Sequence[str], ids: Sequence, source: str = "") -> list[Finding]:
    """Return a finding if image files are listed under several ids.

    Args:
        names: File name of each image.
        ids: Id of each image.
        source: The annotation file.
    """
    ids_of: dict[str, list] = {}
    for name, image_id in zip(names, ids, strict=True):
        ids_of.setdefault(os.path.normpath(name), []).append(image_id)
    repeated = {name: found for name, found in ids_of.items() if len(found) > 1}
    if not repeated:
        return []
    name, (one, other, *_) = next(iter(repeated.items()))
    what = f"{len(repeated)} image files are listed several times, such as {name} with the ids {one} and {other}"
    fix = "join their annotations under one image id"
    return [Finding("listed-twice", Severity.WARNING, what, len(repeated), fix, source=source)]


def image_findings(images: CheckedImages) -> list[Finding]:
    """Return findings if image files are listed several times, or with width and height swapped."""
    found = listed_twice_findings(images.names, images.ids.tolist())
    num_swapped, num_read, row = images.swapped_sides()
    if num_swapped:
        what = (
            f"{num_swapped} of {num_read} images whose headers were read have width and height swapped, such as "
            f"{images.names[row]}, listed as {images.widths[row]}x{images.heights[row]}"
        )
        fix = "exchange 'width' and 'height', or remove the orientation tags if the images were annotated without them"
        found.append(Finding("swapped-sides", Severity.ERROR, what, num_swapped, fix))
    return found


def crowd_findings(objects: Counter, crowds: Counter, class_names: Sequence[str], source: str) -> list[Finding]:
    """Return a finding if many annotations, or all of a class, are crowd regions.

    Args:
        objects: {class index: annotations that are not crowd regions}.
        crowds: {class index: crowd regions}.
        class_names: Names of the classes.
        source: The annotation file.
    """
    total = objects.total() + crowds.total()
    only_crowds = [index for index in crowds if not objects[index]]
    if not only_crowds and crowds.total() <= _MANY_CROWDS * total:
        return []
    listed = [f"{class_names[i]} {crowds[i]} of {crowds[i] + objects[i]}" for i, _ in crowds.most_common(_MAX_NAMES)]
    more = ", ..." if len(crowds) > _MAX_NAMES else ""
    what = (
        f"{crowds.total()} of {total} annotations are crowd regions (iscrowd 1), which are not trained on and ignored "
        f"in evaluation ({', '.join(listed)}{more})"
    )
    fix = "set iscrowd to 0 where a region is one object"
    return [Finding("crowds", Severity.WARNING, what, crowds.total(), fix, source=source)]


def root_category_findings(categories: Sequence[dict], used: set[int], source: str) -> list[Finding]:
    """Return a finding for each category without annotations that is the supercategory of others.

    Args:
        categories: The list `categories` of the file.
        used: Ids of the categories with annotations.
        source: The annotation file.
    """
    found = []
    for category in categories:
        name = category["name"]
        below = [other for other in categories if other is not category and other.get("supercategory") == name]
        if below and category["id"] not in used:
            what = (
                f"the category {name!r} has no annotations and is the supercategory of {len(below)} others, but "
                "becomes a class of the model"
            )
            fix = f"leave it out with --leave-out-category {shlex.quote(name)}"
            found.append(Finding("root-category", Severity.WARNING, what, 1, fix, source=source))
    return found


def repeated_name_findings(categories: Sequence[dict], source: str) -> list[Finding]:
    """Return a finding if several categories have the same name.

    Args:
        categories: The list `categories` of the file.
        source: The annotation file.
    """
    names = Counter(category["name"].strip() for category in categories)
    repeated = [name for name, count in names.items() if count > 1]
    if not repeated:
        return []
    listed = ", ".join(map(repr, repeated[:_MAX_NAMES]))
    if len(repeated) > _MAX_NAMES:
        listed += ", ..."
    what = f"more than one category has the name {listed}; they stay separate classes, with their ids added to the name"
    fix = "rename them, or join them if they mean the same"
    return [Finding("repeated-names", Severity.WARNING, what, len(repeated), fix, source=source)]
