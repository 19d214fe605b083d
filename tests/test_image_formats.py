"""No reader of images opens a format that starts another program (EPS), whatever the name of the file."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest

from detectron2_ext.data.mapper import EvaluationMapper as DetectionMapper
from eva_backbone.errors import InputError
from eva_classification.data import EvaluationMapper
from eva_clip import get_tokenizer
from eva_clip.data import TrainingMapper
from eva_clip.transforms import evaluation_transform
from eva_engine.data import read_rgb_image
from eva_engine.data.package_data import read_tiff_pages
from eva_semseg.data.label_file import read_labels
from eva_video.data.frame_folder import read_frame_folder

ROOT = Path(__file__).parents[1]
FOLDERS = (
    *("eva_backbone", "eva_engine", "detectron2_ext", "eva_classification", "eva_clip", "eva_video", "eva_semseg"),
    *("eva_demos", "projects", "tools", "datasets", "benchmarks"),
)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


def detect(path: str) -> None:
    DetectionMapper(augmentations=[], image_format="RGB")({"file_name": path})


def classify(path: str) -> None:
    EvaluationMapper(evaluation_transform(16))({"file_name": path, "read": lambda: (io.BytesIO(EPS), 0)})


def pair(path: str) -> None:
    mapper = TrainingMapper(evaluation_transform(16), get_tokenizer("eva_clip_tiny", 8))
    mapper({"file_name": path, "read": lambda: (io.BytesIO(EPS), ["a page"])})


@pytest.mark.parametrize(
    "read",
    [
        read_rgb_image,
        detect,
        classify,
        pair,
        lambda path: read_labels(path, 3),
        lambda path: read_frame_folder(str(Path(path).parent), "{}.jpg", lambda _: np.array([0])),
        read_tiff_pages,
    ],
    ids=["prediction", "detection", "classification", "CLIP", "labels", "frames", "packages"],
)
def test_files_that_would_start_ghostscript_are_refused(tmp_path, read):
    path = tmp_path / "1.jpg"
    path.write_bytes(EPS)
    with pytest.raises((InputError, OSError), match=r"cannot identify|format is unknown"):
        read(str(path))


def test_images_are_opened_with_an_explicit_list_of_formats():
    without_formats = []
    for file in (file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Image.open"):
                keywords = {keyword.arg for keyword in call.keywords}
                if "formats" not in keywords:
                    without_formats.append(str(file))
    assert not without_formats
