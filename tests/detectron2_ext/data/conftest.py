"""Fixtures for the synthetic dataset."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from synthetic_coco import noise_image
from synthetic_photos import write_photos

WriteCoco = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write_coco(tmp_path: Path) -> WriteCoco:
    """``write_coco(content)`` -> (annotation file, image folder); the six images are noise."""

    def write(content: object) -> tuple[Path, Path]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for name in "abcdef":
            noise_image().save(folder / f"{name}.png")
        (tmp_path / "annotations.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "annotations.json", folder

    return write


@pytest.fixture
def dataset_name() -> str:
    """A dataset name that is unregistered after the test."""
    name = "dataset_of_one_test"
    yield name
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)


@pytest.fixture
def photo_records(tmp_path: Path) -> list[dict]:
    return write_photos(tmp_path)
