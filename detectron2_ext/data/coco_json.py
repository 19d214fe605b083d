"""Check, summarise and register custom COCO-format data."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data_check.findings import Finding, Severity, log_finding, restored_findings, stored_findings
from eva_engine.garbage import garbage_collection_paused

from .coco_file import check_exists, check_known_categories, parse_categories, report_negative_areas
from .coco_images import DirectoryListing, check_images
from .coco_parts import read_coco_parts
from .coco_records import AnnotationCheck, RecordCounts
from .conventions import crowd_findings, image_findings, repeated_name_findings, root_category_findings
from .mapper import MAX_INSTANCES
from .record_table import RecordTable
from .table_cache import open_or_build
from .table_columns import TableBuilder, image_columns

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CocoJsonSummary:
    """Summary of a checked COCO-format file.

    Attributes:
        name: Name of the dataset.
        json_file: The annotation file.
        image_root: Folder that the file names are relative to.
        class_names: Class names by ascending category id, which is the order of the model's classes.
        category_ids: Ids of the file in the same order; any integers.
        has_masks: Whether every annotation that is not a crowd region has a mask; if not, train a box-only model.
        mask_format: "bitmask" if some masks are RLE, else "polygon".
        num_images: Usable images.
        num_empty_images: Images without a usable annotation.
        num_annotations: Usable annotations, crowd regions included.
        num_crowd: Crowd regions.
        num_clipped_boxes: Boxes that extended beyond their image and were clipped to it.
        left_out: Names of the categories that were left out on request.
        skipped: One sentence per record that `on_error="skip"` left out.
        findings: What looks like another convention than COCO's; each is logged when the file is read.
    """

    name: str
    json_file: str
    image_root: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    has_masks: bool
    mask_format: str
    num_images: int
    num_empty_images: int
    num_annotations: int
    num_crowd: int
    num_clipped_boxes: int
    left_out: tuple[str, ...]
    skipped: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of categories of the file, with or without annotations."""
        return len(self.class_names)


def load_coco_json(
    json_file: str | Path,
    image_root: str | Path,
    name: str,
    *,
    on_error: str = "stop",
    known_categories: Mapping[int, str] | None = None,
    leave_out: Collection[str] = (),
    hint: str = "check the path",
) -> tuple[RecordTable, CocoJsonSummary]:
    """Read and check a COCO-format file, with a warning for everything that looks like another convention than COCO's.

    Within a run, the result is stored in its folder and opened from there the next time, as long as the file and the
    folders of the images are unchanged.

    Args:
        json_file: The annotation file.
        image_root: Folder that the file names are relative to.
        name: Name of the dataset, for messages.
        on_error: "stop" at the first bad record, or "skip" to log and count bad records.
        known_categories: {category id: class name} of a published dataset, used instead of the file's own list.
        leave_out: Names of categories without annotations that are not classes, such as the root of a hierarchy. Names
            that the file does not have are ignored.
        hint: How to fix a missing file, for the message.

    Returns:
        Detectron2 dataset dicts by ascending image id, images without annotations included, and the summary.
        Annotations also have their `id`.

    Raises:
        InputError: The file is not usable, or with `on_error="stop"` one of its records is not.
    """
    path, source = Path(json_file), str(json_file)
    check_exists(path, hint)
    known = None if known_categories is None else dict(sorted(known_categories.items()))
    errors = RecordErrors(source, on_error)

    def build(folder: Path | None) -> tuple[dict[str, np.ndarray], dict, dict[str, int | None]]:
        return _read(path, str(image_root), name, errors, known, leave_out, folder)

    key = {"images": str(image_root), "known": list((known or {}).items()), "left_out": sorted(leave_out)}
    stored = open_or_build(path, name, key, build)
    if stored.was_opened:
        report_negative_areas(source, *stored.facts["negative_areas"])
        for record in stored.facts["bad_records"]:
            errors.add(*record)
    errors.log_total()
    table = RecordTable(stored.columns, str(image_root), stored.folder)
    return table, _summary(table, stored.facts, name, source, tuple(errors.messages))


@garbage_collection_paused()
def _read(
    path: Path,
    image_root: str,
    name: str,
    errors: RecordErrors,
    known: dict[int, str] | None,
    leave_out: Collection[str],
    folder: Path | None,
) -> tuple[dict[str, np.ndarray], dict, dict[str, int | None]]:
    """Return the columns of the table, the facts for `_summary`, and when the folders of the images were changed."""
    source = str(path)
    parts = read_coco_parts(path)
    categories = parse_categories(parts.categories, source)
    if known is not None:
        check_known_categories(categories, known, source, name)
        categories = known
    for category_id, category_name in categories.items():
        if any("\ud800" <= letter <= "\udfff" for letter in category_name):
            raise InputError(
                f"{source}: category {category_id} is named {category_name!a}, which is not valid Unicode; correct it."
            )
        if category_name in leave_out and category_id in parts.used_categories:
            raise InputError(
                f"{source}: the category {category_name!r} has annotations, so it cannot be left out; remove them."
            )
    left_out = [category_name for category_name in categories.values() if category_name in leave_out]
    categories = {i: category_name for i, category_name in categories.items() if category_name not in left_out}

    listing = DirectoryListing()
    images = check_images(parts.images, image_root, errors, listing)
    if not len(images.ids):
        first = f" ({errors.messages[0]})" if errors.messages else ""
        raise InputError(f"{source} holds no usable image{first}; give a file that lists images.")
    parts.images.clear()
    builder = TableBuilder(folder)
    class_indices = {category_id: index for index, category_id in enumerate(categories)}
    counts = AnnotationCheck(parts, images, class_indices, errors, builder).run()
    columns = builder.finish(image_columns(images.ids, images.widths, images.heights, images.names))
    listed = [category for category in parts.categories if category["id"] in categories]
    findings = image_findings(images) + repeated_name_findings(listed, "")
    if known is None:
        findings += root_category_findings(listed, parts.used_categories, "")
    facts = {
        "categories": list(categories.items()),
        "left_out": left_out,
        "bad_records": errors.added,
        "negative_areas": [parts.num_negative, len(parts.ids)],
        "counts": counts.to_json(),
        "findings": stored_findings(findings),
    }
    return columns, facts, listing.times


def _summary(table: RecordTable, facts: dict, name: str, source: str, skipped: tuple[str, ...]) -> CocoJsonSummary:
    """Summarise a checked file, and log its findings."""
    categories = dict(facts["categories"])
    counts = RecordCounts.from_json(facts["counts"])
    findings = counts.boxes.findings(source, table)
    findings += crowd_findings(counts.objects, counts.crowds, list(categories.values()), source)
    findings += restored_findings(facts["findings"], source)
    if counts.short_polygons:
        what = f"{counts.short_polygons} polygons have fewer than three points and are left out of their masks"
        fix = "remove them, or complete them"
        findings.append(Finding("short-polygons", Severity.WARNING, what, counts.short_polygons, fix, source=source))
    num_instances = counts.objects.total()
    if 0 < counts.without_mask < num_instances:
        what = f"{counts.without_mask} of {num_instances} annotations have no mask"
        fix = "so the data is treated as boxes only: add the missing masks to train masks"
        findings.append(Finding("missing-masks", Severity.WARNING, what, counts.without_mask, fix, source=source))
    per_image = np.diff(table.columns["offsets"])
    num_large = int((per_image > MAX_INSTANCES).sum())
    if num_large:
        what = f"{num_large} images have more than {MAX_INSTANCES} objects, of which training draws that many at random"
        fix = "another limit is dataloader.train.mapper.max_instances"
        findings.append(Finding("more-than-drawn", Severity.WARNING, what, num_large, fix, source=source))
    for finding in findings:
        log_finding(finding)
    return CocoJsonSummary(
        name=name,
        json_file=source,
        image_root=table.image_root,
        class_names=tuple(categories.values()),
        category_ids=tuple(categories),
        has_masks=num_instances > 0 and counts.without_mask == 0,
        mask_format="bitmask" if counts.with_rle else "polygon",
        num_images=len(table),
        num_empty_images=int((per_image == 0).sum()),
        num_annotations=num_instances + counts.crowds.total(),
        num_crowd=counts.crowds.total(),
        num_clipped_boxes=counts.clipped_boxes,
        left_out=tuple(facts["left_out"]),
        skipped=skipped,
        findings=tuple(findings),
    )


def register_coco_json(
    name: str,
    json_file: str | Path,
    image_root: str | Path,
    *,
    on_error: str = "stop",
    leave_out: Collection[str] = (),
) -> CocoJsonSummary:
    """Check a COCO-format file and register it with Detectron2 as `name`, with its class names and ids.

    Registering a name again replaces the earlier registration by this function.

    Args:
        name: Name of the dataset.
        json_file: The annotation file.
        image_root: Folder that the file names are relative to.
        on_error: "stop" at the first bad record, or "skip" to log and count bad records.
        leave_out: Names of categories that are not classes, as for `load_coco_json`.

    Raises:
        InputError: As for `load_coco_json`, or `name` belongs to a dataset that was registered elsewhere.
    """
    if name in DatasetCatalog and not isinstance(DatasetCatalog[name], CheckedJson):
        raise InputError(f"The dataset name {name!r} is taken by a built-in dataset; choose another name.")
    table, summary = load_coco_json(json_file, image_root, name, on_error=on_error, leave_out=leave_out)
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, CheckedJson(table, summary))
    MetadataCatalog.get(name).set(
        thing_classes=list(summary.class_names),
        thing_dataset_id_to_contiguous_id={category: index for index, category in enumerate(summary.category_ids)},
        json_file=summary.json_file,
        image_root=summary.image_root,
        evaluator_type="coco",
        on_error=on_error,
    )
    logger.info(
        "%s: %d images (%d empty), %d annotations (%d boxes cut at the border), %d classes, %s.",
        summary.json_file,
        summary.num_images,
        summary.num_empty_images,
        summary.num_annotations,
        summary.num_clipped_boxes,
        summary.num_classes,
        "with masks" if summary.has_masks else "boxes only",
    )
    return summary


class TableDataset(ABC):
    """Base of the functions in Detectron2's catalog that return a `RecordTable`."""

    @abstractmethod
    def __call__(self) -> RecordTable:
        """Return the table."""


class CheckedJson(TableDataset):
    """Return the table of a checked file."""

    def __init__(self, table: RecordTable, summary: CocoJsonSummary) -> None:
        self._table = table
        self._summary = summary

    @property
    def summary(self) -> CocoJsonSummary:
        """Summary of the file."""
        return self._summary

    def __call__(self) -> RecordTable:
        """Return the table."""
        return self._table
