"""Look up registered datasets by name, with a clear message where Detectron2 would fail far from the cause."""

import logging
from collections.abc import Sequence
from itertools import chain
from weakref import WeakValueDictionary, finalize

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.build import check_metadata_consistency
from tabulate import tabulate

from eva_backbone.errors import InputError
from eva_engine.config.registered_datasets import check_registered
from eva_engine.data_check.findings import log_finding

from .conventions import listed_twice_findings
from .image_paths import check_inside
from .published_records import table_dataset
from .record_table import RecordTable, SelectedRecords

logger = logging.getLogger(__name__)

_TABLE_COLUMNS = 3  # classes in a line of the table of their frequencies


class DatasetDicts(list):
    """List that supports weak references."""

    __slots__ = ("__weakref__",)


_loaded: WeakValueDictionary = WeakValueDictionary()


def get_dataset_dicts(names: str | list[str], filter_empty: bool = True) -> Sequence[dict]:
    """Return the concatenated Detectron2 dataset dicts of registered datasets; a LazyConfig target.

    In a LazyConfig a sampler refers to `${dataloader.train.dataset}`, which would load the dataset a second time; a
    sequence that is still in use is returned again instead. It is a list, or `SelectedRecords` if all datasets are
    tables.

    Args:
        names: One or more registered names.
        filter_empty: Leave out images whose only annotations are crowd regions, or that have none.

    Raises:
        InputError: A name is unknown, an annotation file is missing or names an image outside of its folder, or no
            image is left.
    """
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        check_registered(name)
    # The id of the loader distinguishes a dataset from an earlier one of the same name.
    loaders = [DatasetCatalog[name] for name in names]
    key = (tuple(zip(names, map(id, loaders), strict=True)), filter_empty)
    dicts = _loaded.get(key)
    if dicts is None:
        try:
            tables = [table_dataset(name) for name in names]
            if None not in tables:
                dicts = _selected_records([table() for table in tables if table], names, filter_empty)
            else:
                dicts = DatasetDicts(get_detection_dataset_dicts(names, filter_empty=filter_empty))
        except AssertionError as error:  # Detectron2's error for an empty list or an unknown class
            problem = str(error).strip().rstrip(".!")
            raise InputError(f"Dataset {' + '.join(names)}: {problem}; check its annotation file.") from error
        metadata = [MetadataCatalog.get(name) for name in names]
        # Tables are checked when they are built; without a file, the records are made by code.
        if isinstance(dicts, DatasetDicts) and all(item.get("json_file") for item in metadata):
            folders = [item.get("image_root") or "" for item in metadata]
            for record in dicts:
                check_inside(record["file_name"], folders, " + ".join(names))
            ids = [record.get("image_id") for record in dicts]
            for finding in listed_twice_findings([record["file_name"] for record in dicts], ids, " + ".join(names)):
                log_finding(finding)
        _loaded[key] = dicts
        # The loaders live as long as their records: otherwise a new loader could get the id of an earlier one, whose
        # records, if they are still in use, would be returned for it.
        finalize(dicts, list.clear, loaders)
    return dicts


def _selected_records(tables: list[RecordTable], names: list[str], filter_empty: bool) -> SelectedRecords:
    """Return what Detectron2's function returns for the same datasets, from columns."""
    if filter_empty:
        rows = [np.flatnonzero(table.has_object) for table in tables]
    else:
        rows = [np.arange(len(table)) for table in tables]
    records = SelectedRecords(tables, rows)
    if filter_empty:
        num_removed = sum(len(table) for table in tables) - len(records)
        logger.info("Removed %d images with no usable annotations. %d images left.", num_removed, len(records))
    check_metadata_consistency("thing_classes", names)
    _log_class_frequencies(records, MetadataCatalog.get(names[0]).thing_classes)
    assert len(records), f"No valid data found in {','.join(names)}."
    return records


def _log_class_frequencies(records: SelectedRecords, class_names: Sequence[str]) -> None:
    counts = np.zeros(len(class_names), dtype=np.int64)
    for part in records.annotations():
        counts += np.bincount(part.category[~part.is_crowd], minlength=len(class_names))
    cells = [(name[:16], int(count)) for name, count in zip(class_names, counts, strict=True)]
    lines = []
    for first in range(0, len(cells), _TABLE_COLUMNS):
        lines.append(list(chain.from_iterable(cells[first : first + _TABLE_COLUMNS])))
    headers = ["class", "objects"] * min(_TABLE_COLUMNS, len(cells))
    table = tabulate(lines, headers=headers, tablefmt="pipe", numalign="right")
    logger.info("%d objects of %d classes:\n%s", counts.sum(), len(cells), table)
