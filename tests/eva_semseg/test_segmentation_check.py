"""Flaws of label maps are found by the data check; label maps without a flaw give no finding."""

import shutil

import numpy as np
import pytest
from detectron2.config import LazyCall as L
from made_images import HEIGHT, WIDTH, made_image
from omegaconf import OmegaConf
from PIL import Image

from eva_semseg.data import SegmentationDataset
from eva_semseg.data_check import SegmentationCheck

NAMES = ["sky", "road"]


@pytest.fixture
def root(tmp_path):
    for part, numbers in (("train", range(4)), ("val", range(10, 12))):
        for number in numbers:
            for kind in ("images", "labels"):
                (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
            made_image(number).save(tmp_path / part / "images" / f"{number}.png")
            _write_labels(tmp_path / part / "labels" / f"{number}.png", {0: 0.5, 1: 0.5})
    return tmp_path


def _write_labels(path, fractions: dict[int, float], width: int = WIDTH) -> None:
    """Vertical stripes of values."""
    labels = np.zeros((HEIGHT, width), np.uint8)
    start = 0.0
    for value, fraction in fractions.items():
        labels[:, round(start * width) :] = value
        start += fraction
    Image.fromarray(labels).save(path)


def _run(root, quick: bool = False, **keywords):
    loaders = {}
    for loader, part in (("train", "train"), ("test", "val")):
        folders = {"image_root": str(root / part / "images"), "label_root": str(root / part / "labels")}
        loaders[loader] = {"dataset": L(SegmentationDataset)(**folders, class_names=NAMES, **keywords)}
    cfg = OmegaConf.create({"dataloader": loaders}, flags={"allow_objects": True})
    return SegmentationCheck(cfg).run(quick=quick)


def _findings(root, **keywords) -> dict:
    return {finding.code: finding for finding in _run(root, **keywords).findings}


def test_nothing_in_labels_without_flaw(root):
    result = _run(root)
    assert result.findings == []
    assert result.facts["training"] == {"images": "4", "classes": "2", "unlabelled": "0.0%"}
    half = 4 * HEIGHT * WIDTH // 2
    assert result.class_counts["training"] == {"sky": half, "road": half}


def test_quick_reads_no_labels(root):
    (root / "train" / "labels" / "0.png").write_bytes(b"nothing")
    result = _run(root, quick=True)
    assert (result.findings, result.class_counts) == ([], {"training": {}, "validation": {}})


@pytest.mark.parametrize(
    ("fractions", "keywords", "code", "severity", "what"),
    [
        (
            {0: 0.5, 7: 0.5},
            {},
            "unknown-values",
            "error",
            "1 of 4 label files have values that mean no class: 7 (3",
        ),
        ({255: 1.0}, {}, "empty-labels", "warning", "1 of 4 label files have no labelled pixel"),
        ({0: 0.5, 1: 0.5}, {"width": WIDTH // 2}, "label-size", "error", "1 of 4 label files have another size"),
    ],
)
def test_flaws(root, fractions, keywords, code, severity, what):
    _write_labels(root / "train" / "labels" / "0.png", fractions, **keywords)
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity, finding.source) == (code, severity, "training")
    assert finding.what.startswith(what)
    assert finding.examples[0].file == str(root / "train" / "labels" / "0.png")
    assert finding.examples[0].draw().shape == (HEIGHT, 2 * WIDTH, 3)


def test_unreadable_labels(root):
    made_image(0).save(root / "train" / "labels" / "0.png")  # colours
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity) == ("unreadable-labels", "error")
    assert "expected one class index per pixel" in finding.examples[0].text


def test_mostly_unlabelled(root):
    for number in range(4):
        _write_labels(root / "train" / "labels" / f"{number}.png", {0: 0.1, 1: 0.1, 255: 0.8})
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity) == ("unlabelled", "warning")
    assert finding.what.startswith("80% of the pixels are not labelled")


def test_class_without_pixels(root):
    for number in range(4):
        _write_labels(root / "train" / "labels" / f"{number}.png", {0: 1.0})
    assert set(_findings(root)) == {"empty-classes", "not-trained"}


def test_mapped_values_are_known(root):
    for part, numbers in (("train", range(4)), ("val", range(10, 12))):
        for number in numbers:
            _write_labels(root / part / "labels" / f"{number}.png", {0: 0.5, 200: 0.5})
    assert _findings(root, label_values={0: 0, 200: 1}) == {}


def test_image_in_both_parts(root):
    shutil.copy(root / "train" / "images" / "0.png", root / "val" / "images" / "10.png")
    assert set(_findings(root)) == {"leakage"}
    shutil.rmtree(root / "val")
    (root / "val").symlink_to(root / "train")
    assert _findings(root, quick=True)["listed-in-both"].count == 4
