"""The data check of detection: annotation files in COCO format, and the recipe that they are used with."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from detectron2_ext.data.coco_json import CheckedJson, load_coco_json
from detectron2_ext.data.published_records import table_dataset
from eva_engine.data.folder_files import find_files
from eva_engine.data_check.class_findings import check_classes
from eva_engine.data_check.data_check import DataCheck
from eva_engine.data_check.findings import MAX_EXAMPLES, Finding, Severity
from eva_engine.data_check.image_findings import image_example
from eva_engine.data_check.image_scan import ImageSource, ScannedImage, scan_images

from .object_findings import check_objects
from .object_table import ObjectTable
from .recipe_findings import check_recipe

_MANY_EMPTY = 0.5
_LISTED_TWICE = "listed-twice"
_QUICKLY_CHECKED = 2_000_000  # objects; more take gigabytes, as Python objects of hotcoco


@dataclass(frozen=True)
class DetectionData:
    """Data of one loader.

    Attributes:
        table: Its images and objects.
        findings: What was found while its files were read.
        image_roots: Folders of its images; empty if they are not known.
    """

    table: ObjectTable
    findings: tuple[Finding, ...]
    image_roots: tuple[str, ...]


class DetectionCheck(DataCheck):
    """Checks annotations, boxes and images of detection."""

    task = "detection"
    recipe = "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
    counted = "objects"

    @property
    def is_quick_before_training(self) -> bool:
        """Whether all files were read and checked already, and a check of their objects takes seconds."""
        num_objects = 0
        for loader in self.loaders:
            for name in self._names(loader):
                dataset = DatasetCatalog[name]
                if not isinstance(dataset, CheckedJson):
                    return False
                num_objects += dataset.summary.num_annotations
        return num_objects <= _QUICKLY_CHECKED

    def _names(self, loader: str) -> list[str]:
        names = OmegaConf.select(self.cfg, f"dataloader.{loader}.dataset.names", default=None) or []
        return [names] if isinstance(names, str) else list(names)

    def read(self, loader: str) -> DetectionData:
        """Read the annotation files of a loader's datasets."""
        parts: list[Sequence[dict]] = []
        findings: list[Finding] = []
        roots: list[str] = []
        class_names: tuple[str, ...] = ()
        for name in self._names(loader):
            metadata = MetadataCatalog.get(name)
            dataset = table_dataset(name)
            records: Sequence[dict]
            if isinstance(dataset, CheckedJson):
                records, found = dataset(), dataset.summary.findings
            elif metadata.get("evaluator_type") == "coco" and name.startswith("coco_"):
                # Detectron2's own loader checks less.
                records, summary = load_coco_json(metadata.json_file, metadata.image_root, name, on_error="skip")
                found = summary.findings
            else:
                records, found = DatasetCatalog.get(name) if dataset is None else dataset(), ()
            parts.append(records)
            findings += found
            class_names = tuple(metadata.get("thing_classes", ()))
            roots += [metadata.image_root] if metadata.get("image_root") else []
        return DetectionData(ObjectTable.from_parts(parts, class_names), tuple(findings), tuple(roots))

    def facts(self, data: DetectionData) -> Mapping[str, str]:
        """Return counts and sizes, which `hotcoco` computes."""
        table = data.table
        stats = table.coco.stats()
        facts = {
            "images": f"{stats['image_count']:,}",
            "empty": f"{int((table.per_image == 0).sum()):,}",
            "objects": f"{stats['annotation_count']:,}",
            "crowd regions": f"{table.num_crowd:,}",
            "classes": f"{stats['category_count']:,}",
        }
        if len(table.images):
            width, height = stats["image_width"], stats["image_height"]
            facts["image size"] = (
                f"{width['min']:.0f}x{height['min']:.0f} to {width['max']:.0f}x{height['max']:.0f}, "
                f"median {width['median']:.0f}x{height['median']:.0f}"
            )
        if len(table.boxes):
            sides = np.sqrt(table.boxes[:, 2] * table.boxes[:, 3])
            low, median, high = np.quantile(sides, (0.05, 0.5, 0.95)).tolist()
            facts["side of the boxes"] = f"{low:.0f} to {high:.0f} pixels, median {median:.0f}"
            facts["most objects in an image"] = f"{int(table.per_image.max()):,}"
        return facts

    def class_counts(self, data: DetectionData) -> Mapping[str, int]:
        """Return the number of objects of each class."""
        stats = data.table.coco.stats()["per_category"]
        counts = {row["id"]: row["ann_count"] for row in stats}
        return {name: counts.get(number, 0) for number, name in enumerate(data.table.class_names, start=1)}

    def check_records(self, data: Mapping[str, DetectionData]) -> Iterable[Finding]:
        """Yield what the annotations show."""
        for part, found in data.items():
            yield from found.findings
            yield from check_objects(found.table, part)
            yield from _check_images(found, part)
            yield from check_recipe(self.cfg, found.table, part)
        reported = {part for part, found in data.items() if any(f.code == _LISTED_TWICE for f in found.findings)}
        yield from _check_listed_twice({part: found.table for part, found in data.items()}, reported)
        yield from check_classes({part: self.class_counts(found) for part, found in data.items()}, "objects")

    def scan(self, data: DetectionData, part: str) -> Sequence[ScannedImage]:
        """Read the images with the sizes of their annotations; an image that is listed twice is read once."""
        files = {record["file_name"]: (record["width"], record["height"]) for record in data.table.images}
        return scan_images([ImageSource(name, size=size) for name, size in files.items() if "://" not in name], part)


def _check_images(data: DetectionData, part: str) -> Iterator[Finding]:
    table = data.table
    empty = np.flatnonzero(table.per_image == 0)
    if len(empty):
        is_most = len(empty) > _MANY_EMPTY * len(table.images)
        files = [table.images[index]["file_name"] for index in empty[:MAX_EXAMPLES].tolist()]
        yield Finding(
            "empty-images",
            Severity.WARNING if is_most else Severity.NOTE,
            f"{len(empty)} of {len(table.images)} images have no object",
            len(empty),
            "check that they show none; training leaves images without objects out",
            tuple(map(image_example, files)),
            part,
        )
    listed = {os.path.abspath(record["file_name"]) for record in table.images}
    for root in data.image_roots:
        if not os.path.isdir(root):
            continue
        files = [os.path.join(os.path.abspath(root), name) for name in find_files(root)]
        not_listed = [file for file in files if file not in listed]
        if not_listed:
            yield Finding(
                "files-without-annotation",
                Severity.NOTE,
                f"{len(not_listed)} of {len(files)} image files in {root} are not in the annotation file",
                len(not_listed),
                "add them to it, without objects if they show none, or leave them where they are if that is meant",
                tuple(map(image_example, not_listed[:MAX_EXAMPLES])),
                part,
            )


def _check_listed_twice(tables: Mapping[str, ObjectTable], reported: Collection[str]) -> Iterator[Finding]:
    """Yield findings of files in both parts, or several times in a part, unless that was reported when it was read."""
    parts: dict[str, list[str]] = {}
    for part, table in tables.items():
        for record in table.images:
            parts.setdefault(os.path.realpath(record["file_name"]), []).append(part)
    across = [file for file, found in parts.items() if len(set(found)) > 1]
    if across:
        yield Finding(
            "listed-in-both",
            Severity.ERROR,
            f"{len(across)} image files are listed for training and for validation",
            len(across),
            "remove them from one part, otherwise the evaluation measures what the model has seen",
            tuple(map(image_example, across[:MAX_EXAMPLES])),
        )
    repeated = {file: found[0] for file, found in parts.items() if len(set(found)) == 1 and len(found) > 1}
    twice = [file for file, part in repeated.items() if part not in reported]
    if twice:
        yield Finding(
            _LISTED_TWICE,
            Severity.WARNING,
            f"{len(twice)} image files are listed several times in the same part of the data",
            len(twice),
            "join their annotations under one image id",
            tuple(map(image_example, twice[:MAX_EXAMPLES])),
        )
