"""Check that a dataset is registered and that its annotation file exists."""

import difflib
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_engine.data.dataset_folder import missing_file_hint


def check_registered(name: str) -> None:
    """Check that `name` is a registered dataset whose annotation file exists.

    Raises:
        InputError: It is not registered, or the file is missing.
    """
    if name not in DatasetCatalog:
        similar = difflib.get_close_matches(name, DatasetCatalog.keys(), n=3)
        advice = f"did you mean {' or '.join(similar)}?" if similar else "register it with register_coco_json."
        raise InputError(f"No dataset is registered as {name!r}; {advice}")
    json_file = MetadataCatalog.get(name).get("json_file")
    if json_file and "://" not in json_file and not Path(json_file).is_file():
        raise InputError(f"{json_file}: no such annotation file; {missing_file_hint(name, json_file)}.")
