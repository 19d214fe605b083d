"""Read COCO and LVIS into tables that have the records of Detectron2's loaders."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_api
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import get_lvis_instances_meta

from eva_backbone.errors import InputError
from eva_engine.data.dataset_folder import missing_file_hint
from eva_engine.data_check.findings import Finding, log_finding, restored_findings, stored_findings
from eva_engine.json_parts import ListPart, read_elements, read_members

from .coco_file import FIX, check_exists, is_id, missing_list, not_a_list, not_an_object, parse_categories, size_problem
from .coco_json import TableDataset
from .conventions import listed_twice_findings
from .image_paths import check_inside
from .record_table import RecordTable
from .segmentation import MIN_POLYGON
from .table_cache import Columns, open_or_build
from .table_columns import TableBuilder, image_columns

logger = logging.getLogger(__name__)

_DETECTRON2_LOADERS = {"detectron2.data.datasets.coco": "coco", "detectron2.data.datasets.lvis": "lvis"}
_LVIS_LISTS = ("not_exhaustive_category_ids", "neg_category_ids")
_NAMES = ("coco_", "lvis_")  # but not "keypoints_coco_": a table has no keypoints


class CocoTable(RecordTable):
    """A table with the records of Detectron2's loader of COCO, in which annotations have no id."""

    left_out: tuple[str, ...] = ("id",)

    def record(self, index: int) -> dict:
        """Return the record of an image."""
        record = super().record(index)
        for annotation in record["annotations"]:
            for key in self.left_out:
                del annotation[key]
        return record


class LvisTable(CocoTable):
    """A table with the records of Detectron2's loader of LVIS, which has no crowd regions."""

    left_out = ("id", "iscrowd")


class PublishedDataset(TableDataset):
    """Read a file of COCO or LVIS.

    Unlike in custom data, nothing is clipped to the image, no image file is looked for, and any bad record is an error.

    Args:
        name: Name of the dataset.
        json_file: The annotation file.
        image_root: Folder of the images.
        is_lvis: Whether the records are those of Detectron2's loader of LVIS; else those of its loader of COCO.
    """

    def __init__(self, name: str, json_file: str, image_root: str, *, is_lvis: bool) -> None:
        self.name, self.json_file, self.image_root, self.is_lvis = name, json_file, image_root, is_lvis

    def __call__(self) -> RecordTable:
        """Return the table, from the folder of the run if it was read before.

        Raises:
            InputError: The file is missing, or is not one of this dataset.
        """
        path = Path(self.json_file)
        check_exists(path, missing_file_hint(self.name, self.json_file))
        reading = _Reading(self, self._class_indices())
        kind = LvisTable if self.is_lvis else CocoTable
        key = {"images": self.image_root, "records": kind.__name__}
        stored = open_or_build(path, self.name, key, reading.build)
        facts = stored.facts
        if not self.is_lvis:
            # As in Detectron2; an AssertionError if other classes were registered with the name.
            categories = dict(facts["categories"])
            metadata = MetadataCatalog.get(self.name)
            metadata.thing_classes = list(categories.values())
            metadata.thing_dataset_id_to_contiguous_id = {number: row for row, number in enumerate(categories)}
        if facts["without_image"]:
            logger.warning("%s: %d annotations are of images that it does not list", path, facts["without_image"])
        if facts["without_mask"]:
            logger.warning("%s: %d objects without a valid polygon are left out", path, facts["without_mask"])
        for finding in restored_findings(facts["findings"], str(path)):
            log_finding(finding)
        return kind(stored.columns, self.image_root, stored.folder)

    def _class_indices(self) -> dict[int, int] | None:
        """Return {category id: class index}; None if they are those of the file."""
        if not self.is_lvis:
            return None
        metadata = get_lvis_instances_meta(self.name)
        MetadataCatalog.get(self.name).set(**metadata)
        # LVIS without a mapping numbers its classes from 1.
        numbered = {index + 1: index for index in range(len(metadata["thing_classes"]))}
        return metadata.get("thing_dataset_id_to_contiguous_id", numbered)


def table_dataset(name: str) -> TableDataset | None:
    """Return what reads a registered dataset into a table; None for a dataset that can only be read as a list.

    The datasets that Detectron2 registers for COCO and LVIS are read by `PublishedDataset`, unless another function was
    registered with their name.
    """
    loader = DatasetCatalog[name]
    if isinstance(loader, TableDataset):
        return loader
    kind = _DETECTRON2_LOADERS.get(getattr(loader, "__module__", ""))
    if kind is None or not name.startswith(_NAMES):
        return None
    metadata = MetadataCatalog.get(name)
    return PublishedDataset(name, metadata.json_file, metadata.image_root, is_lvis=kind == "lvis")


@dataclass
class _Content:
    """What the first look at a file finds: everything but annotations, of which it keeps the positions.

    Attributes:
        images: {image id: its record}.
        categories: The list `categories`.
        annotations: Start and end of each part of the list `annotations` in bytes, and whether only `json` reads it.
    """

    images: dict[int, dict] = field(default_factory=dict)
    categories: list[dict] = field(default_factory=list)
    annotations: list[tuple[int, int, bool]] = field(default_factory=list)


class _Reading:
    """One reading of a file; see `PublishedDataset`."""

    def __init__(self, dataset: PublishedDataset, class_indices: Mapping[int, int] | None) -> None:
        self._dataset, self._class_indices = dataset, class_indices
        self._path = Path(dataset.json_file)
        self._ids: set[int] = set()
        self._without_image = self._without_mask = 0
        self._findings: list[Finding] = []

    def build(self, folder: Path | None) -> tuple[Columns, dict[str, Any], dict[str, int | None]]:
        """Return the columns of the table and the facts for `PublishedDataset`; see `open_or_build`."""
        content = _first_look(self._path)
        categories = parse_categories(content.categories, str(self._path))
        if self._class_indices is None:
            self._class_indices = {category_id: index for index, category_id in enumerate(categories)}
        ids = sorted(content.images)
        images = [content.images[image_id] for image_id in ids]
        columns = self._image_columns(ids, images)
        builder = TableBuilder(folder)
        rows = {image_id: row for row, image_id in enumerate(ids)}
        for start, end, is_exact in content.annotations:
            for record in read_elements(self._path, start, end, FIX, exact=is_exact):
                row = rows.get(record.get("image_id"))
                if row is None:
                    self._without_image += 1
                else:
                    with self._described(f"annotation {record.get('id')}"):
                        self._add(builder, row, record, images[row])
        facts = {
            "categories": list(categories.items()),
            "without_image": self._without_image,
            "without_mask": self._without_mask,
            "findings": stored_findings(self._findings),
        }
        return builder.finish(columns), facts, {}

    @contextmanager
    def _described(self, record: str) -> Iterator[None]:
        """Raise the errors of a record as one sentence."""
        try:
            yield
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
            dataset = self._dataset.name
            raise InputError(
                f"{self._path}: {record} is not one of {dataset} ({reason}); give the annotation file of {dataset}."
            ) from error

    def _image_columns(self, ids: list[int], images: list[dict]) -> Columns:
        root, names, extra = self._dataset.image_root, [], []
        for image_id, image in zip(ids, images, strict=True):
            with self._described(f"image {image_id}"):
                problem = size_problem(image["width"], image["height"])
                if problem is not None:
                    raise ValueError(problem.split("; ")[0])
                if not self._dataset.is_lvis:
                    names.append(image["file_name"])
                else:
                    names.append("/".join(image["coco_url"].split("/")[-2:]))
                    extra.append({key: image.get(key, []) for key in _LVIS_LISTS})
                check_inside(os.path.join(root, names[-1]), [root], str(self._path))
        self._findings = listed_twice_findings(names, ids)
        widths, heights = (np.array([image[side] for image in images], dtype=np.int64) for side in ("width", "height"))
        return image_columns(np.array(ids, dtype=np.int64), widths, heights, names, extra)

    def _add(self, builder: TableBuilder, row: int, record: dict, image: dict) -> None:
        if not is_id(record["id"]):
            raise ValueError("its id is not an integer")
        if record["id"] in self._ids and "minival" not in str(self._path):  # of COCO 2014, which are used all the same
            raise ValueError("its id is given twice")
        self._ids.add(record["id"])
        if record.get("ignore", 0):
            raise ValueError("'ignore' is not supported")
        class_index = self._class_indices[record["category_id"]]  # type: ignore[index]  # set by `build`
        x, y, width, height = map(float, record["bbox"])
        crowd = 0
        if self._dataset.is_lvis:
            mask: list | dict | None = _lvis_mask(record["segmentation"])
        else:
            crowd = int(record.get("iscrowd", 0))
            mask = _coco_mask(record.get("segmentation"), image["height"], image["width"])
            if mask == []:
                self._without_mask += 1
                return
        builder.add(row, record["id"], class_index, crowd, [x, y, width, height], mask)


def _first_look(path: Path) -> _Content:
    content = _Content()
    found = set()
    for key, part in read_members(path, "annotation file", FIX):
        if key is None:
            raise not_an_object(path, part.value)  # type: ignore[union-attr]  # never a list
        if key not in ("images", "annotations", "categories"):
            continue
        if not isinstance(part, ListPart) or set(map(type, part.elements)) - {dict}:
            raise not_a_list(path, key)
        found.add(key)
        if key == "annotations":
            content.annotations += [(part.start, part.end, part.is_exact)] if part.elements else []
        elif key == "categories":
            content.categories += part.elements
        for image in part.elements if key == "images" else ():
            if not is_id(image.get("id")):
                raise InputError(f"{path}: an image has id {image.get('id')!r}; give every image an integer id.")
            content.images[image["id"]] = image
    for key in ("images", "categories"):  # the file of a test set has no annotations
        if key not in found:
            raise missing_list(path, key)
    return content


def _coco_mask(segmentation: list | dict | None, height: int, width: int) -> list | dict | None:
    """Return the mask of an annotation for `encode_mask`; an empty list if none of its polygons is valid."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return [polygon for polygon in segmentation if _is_valid(polygon)]
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"its RLE has size {segmentation['size']}, its image has {height} rows and {width} columns")
    if isinstance(segmentation["counts"], list):
        return mask_api.frPyObjects(segmentation, height, width)
    return segmentation


def _lvis_mask(segmentation: list) -> list:
    """Return the mask of an annotation, which all of its polygons belong to."""
    if not segmentation or not all(_is_valid(polygon) for polygon in segmentation):
        raise ValueError("it has a polygon of fewer than three points, or none")
    return segmentation


def _is_valid(polygon: list) -> bool:
    return len(polygon) % 2 == 0 and len(polygon) >= MIN_POLYGON
