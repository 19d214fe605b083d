"""Registering made data sets with Detectron2 for the length of one test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

Register = Callable[..., str]


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    """`register(content, **metadata)` writes the JSON, registers it and returns the data set's name."""
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
