"""Images to load."""

from pathlib import Path

import pytest
from made_photos import made_photos


@pytest.fixture
def photo_records(tmp_path: Path) -> list[dict]:
    return made_photos(tmp_path)
