"""Fixture with synthetic image-text pairs."""

from pathlib import Path

import pytest
from synthetic_pairs import caption, write_images


@pytest.fixture
def caption_file(tmp_path: Path) -> Path:
    """Six images in the folder images, with a caption each."""
    write_images(tmp_path / "images")
    rows = [f"{number}.png,{caption(number)}" for number in range(6)]
    (tmp_path / "images" / "pairs.csv").write_text("\n".join(["image,caption", *rows]))
    return tmp_path / "images" / "pairs.csv"
