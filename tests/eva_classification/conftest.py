"""A tree of twelve images of three classes."""

from pathlib import Path

import pytest
from image_folders import write_image_folders


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return write_image_folders(tmp_path / "images")
