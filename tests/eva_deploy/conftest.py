"""Tiny models, an image and a video."""

import io
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served_models import TinyModel, tiny_model

from eva_engine.prediction.video import VideoWriter


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyModel]:
    return cache(lambda task: tiny_model(task, tmp_path_factory.mktemp(task)))


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 100x75 pixels with blocks of random colours."""
    colors = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8).repeat(25, 0).repeat(25, 1)
    content = io.BytesIO()
    Image.fromarray(colors).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames of a video."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, 64, 48, Fraction(10), Fraction(1, 1000)) as writer:
        for number in range(5):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8), 100 * number)
    return path
