"""Images to load."""

from pathlib import Path

import pytest
from synthetic_photos import write_photos


@pytest.fixture
def photo_records(tmp_path: Path) -> list[dict]:
    return write_photos(tmp_path)
