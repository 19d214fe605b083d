"""Read, check and normalise the annotations that predictions are compared with."""

import logging
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from detectron2_ext.data.coco_file import parse_categories, read_coco_file, size_problem, with_ids
from detectron2_ext.data.segmentation import MaskChecker
from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors

from .annotation_check import complete_annotation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroundTruth:
    """A COCO-format annotation file whose ids are replaced by consecutive numbers.

    The metric libraries break ties by the order of ids, treat annotation id 0 as "not matched" or reject negative ids.
    Images and categories are therefore numbered from 1 in the order of their ids, and annotations from 1 in the order
    of the file.

    Attributes:
        source: The file, for messages.
        images: Records of `id`, `width`, `height` and, if the file has them, LVIS's two lists of category ids.
        annotations: Records of `id`, `image_id`, `category_id`, `bbox` (x, y, width, height in pixels), `area` (square
            pixels), `iscrowd`, and `ignore` or `segmentation` if given.
        categories: Records of `id`, `name` and `frequency` (None if not given), by ascending id of the file.
        image_numbers: {image id of the file: number used here}.
        category_numbers: {category id of the file: number used here}.
        is_annotated: False for a test set, whose file has no annotations.
    """

    source: str
    images: list[dict]
    annotations: list[dict]
    categories: list[dict]
    image_numbers: dict[int | str, int]
    category_numbers: dict[int, int]
    is_annotated: bool

    @property
    def has_masks(self) -> bool:
        """Whether any annotation has a mask."""
        return any("segmentation" in annotation for annotation in self.annotations)

    def annotations_for(self, task: str) -> list[dict]:
        """Return copies of the annotations for `task`, "bbox" or "segm", which the libraries may modify.

        For "segm", an annotation without a mask becomes an ignored region of the shape of its box, because whether a
        predicted mask is right there is unknown. It is marked as crowd, which COCO ignores, and as `ignore` for LVIS.

        Raises:
            InputError: "segm" needs the size of an image that the file does not give.
        """
        if task == "bbox":
            return [{k: v for k, v in record.items() if k != "segmentation"} for record in self.annotations]
        records = [dict(record) for record in self.annotations]
        for record in records:
            if "segmentation" not in record:
                image = self.images[record["image_id"] - 1]
                if not isinstance(image["width"], int) or not isinstance(image["height"], int):
                    image_id = list(self.image_numbers)[record["image_id"] - 1]
                    raise InputError(
                        f"{self.source}: image {image_id} has no 'width' and 'height'; give them in pixels."
                    )
                x, y, w, h = record["bbox"]
                outline = [x, y, x + w, y, x + w, y + h, x, y + h]
                record.update(segmentation=[[float(v) for v in outline]], iscrowd=1, ignore=1)
        return records


def read_ground_truth(json_file: str | Path, hint: str = "check the path", *, on_error: str = "stop") -> GroundTruth:
    """Read and check an annotation file in COCO or LVIS format.

    Annotations of images that are not listed are dropped, as the metric libraries do. Everything else counts, also what
    training cuts or leaves out.

    Args:
        json_file: The annotation file.
        hint: How to fix a missing file, for the message.
        on_error: What to do with an annotation that has no meaning for the metrics: "stop", or "skip" to log and leave
            it out.

    Raises:
        InputError: The file is missing or not in COCO format, an image is not valid, or with `on_error="stop"` an id is
            given twice, a category is not listed, or a box or mask is not valid.
    """
    source = str(json_file)
    content = read_coco_file(json_file, hint, test_set=True)
    names = parse_categories(content["categories"], source)
    category_numbers = {category_id: number for number, category_id in enumerate(names, start=1)}
    frequencies = {category["id"]: category.get("frequency") for category in content["categories"]}
    categories = [
        {"id": category_numbers[category_id], "name": name, "frequency": frequencies[category_id]}
        for category_id, name in names.items()
    ]
    image_numbers, images = _number_images(content["images"], category_numbers, source)
    annotations: list[dict] = []
    errors = RecordErrors(source, on_error)
    masks = MaskChecker()
    num_orphans = 0
    for annotation_id, record in with_ids(content.get("annotations", []), "annotation", _is_number_or_text, errors):
        name = f"annotation {reprlib.repr(annotation_id)}"
        image_number = _find(image_numbers, record.get("image_id"))
        if image_number is None:
            num_orphans += 1
            continue
        category_number = _find(category_numbers, record.get("category_id"))
        if category_number is None:
            found = f"has category_id {reprlib.repr(record.get('category_id'))}, which no category has"
            errors.add(name, found, "correct it or add the category")
            continue
        completed, problem = complete_annotation(record, images[image_number - 1], masks)
        if problem is not None:
            errors.add(name, *problem.rsplit("; ", 1))
            continue
        completed["id"] = len(annotations) + 1
        completed["image_id"] = image_number
        completed["category_id"] = category_number
        annotations.append(completed)
    errors.log_total()
    if num_orphans:
        logger.warning("%s: %d annotations belong to images that are not listed and are left out.", source, num_orphans)
    is_annotated = "annotations" in content
    return GroundTruth(source, images, annotations, categories, image_numbers, category_numbers, is_annotated)


def _number_images(
    records: list[dict], category_numbers: dict[int, int], source: str
) -> tuple[dict[int | str, int], list[dict]]:
    """Return {image id: number} and the image records under these numbers."""
    by_id: dict[int | str, dict] = {}
    for index, record in enumerate(records):
        image_id = record.get("id")
        if not _is_number_or_text(image_id):
            raise InputError(f"{source}: image number {index} has id {reprlib.repr(image_id)}; give it an integer id.")
        if image_id in by_id:
            raise InputError(f"{source}: image {image_id} is listed twice; give every image its own id.")
        width, height = record.get("width"), record.get("height")
        if (width, height) != (None, None):
            # An image may have only one of the two, which is then checked alone.
            known_width = height if width is None else width
            known_height = width if height is None else height
            problem = size_problem(known_width, known_height)
            if problem is not None:
                raise InputError(f"{source}: image {image_id} {problem}.")
        by_id[image_id] = record
    if len({isinstance(image_id, str) for image_id in by_id}) > 1:
        raise InputError(f"{source}: some image ids are numbers and some are strings; use one kind.")
    numbers = {image_id: number for number, image_id in enumerate(sorted(by_id), start=1)}
    images = []
    for image_id, number in numbers.items():
        record = by_id[image_id]
        image = {"id": number, "width": record.get("width"), "height": record.get("height")}
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            if isinstance(record.get(key), list):
                listed = [_find(category_numbers, category_id) for category_id in record[key]]
                image[key] = [category_number for category_number in listed if category_number is not None]
        images.append(image)
    return numbers, images


def _find(numbers: Mapping[Any, int], key: object) -> int | None:
    """Look up an id of any JSON type, some of which are not hashable."""
    return numbers.get(key) if _is_number_or_text(key) else None


def _is_number_or_text(value: object) -> TypeGuard[int | str]:
    return isinstance(value, int | str)
