"""Register synthetic datasets with Detectron2 for the duration of one test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

Register = Callable[..., str]


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    """`register(content, **metadata)` writes the JSON file, registers it and returns the name of the dataset."""
    names = []

    def _register(content: dict | None, **metadata: object) -> str:
        name = f"made_{len(names)}_{tmp_path.name}"
        json_file = tmp_path / f"{name}.json"
        if content is not None:
            json_file.write_text(json.dumps(content))
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(json_file=str(json_file), **metadata)
        names.append(name)
        return name

    yield _register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
