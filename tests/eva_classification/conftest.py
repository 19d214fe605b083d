"""A tree of twelve images of three classes."""

from pathlib import Path

import pytest
from made_folders import made_folders


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return made_folders(tmp_path / "images")
