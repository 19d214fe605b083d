"""Flaws of image folders are found by the data check; folders without a flaw give no finding."""

import shutil

import pytest
from detectron2.config import LazyCall as L
from made_images import made_image
from omegaconf import OmegaConf

from eva_classification.data import ImageDataset
from eva_classification.data_check import ClassificationCheck


@pytest.fixture
def root(tmp_path):
    number = 0
    for split, count in (("train", 10), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                made_image(number).save(folder / f"{index}.png")
                number += 1
    return tmp_path


def _run(root, quick: bool = False, **keywords):
    loaders = {
        loader: {"dataset": L(ImageDataset)(root=str(root), split=split, **keywords)}
        for loader, split in (("train", "train"), ("test", "val"))
    }
    cfg = OmegaConf.create({"dataloader": loaders}, flags={"allow_objects": True})
    return ClassificationCheck(cfg).run(quick=quick)


def _findings(root, **keywords) -> dict:
    return {finding.code: finding for finding in _run(root, **keywords).findings}


def test_nothing_in_folders_without_flaw(root):
    result = _run(root)
    assert result.findings == []
    assert result.exit_status == 0
    assert result.facts["training"] == {"images": "20", "classes": "2", "images per class": "10 to 10"}
    assert result.class_counts == {"training": {"cat": 10, "dog": 10}, "validation": {"cat": 2, "dog": 2}}


def test_quick_reads_no_pixels(root):
    (root / "train" / "cat" / "0.png").write_bytes(b"not an image")
    assert _findings(root, quick=True) == {}
    assert _findings(root)["unreadable-images"].count == 1


def test_class_without_validation(root):
    shutil.rmtree(root / "val" / "dog")
    assert _findings(root, class_map=["cat", "dog"])["not-validated"].what.endswith("none in validation: dog")


def test_equal_images_of_two_classes(root):
    shutil.copy(root / "train" / "cat" / "1.png", root / "train" / "dog" / "1.png")
    found = _findings(root)
    assert set(found) == {"contradicting-labels", "duplicates"}
    assert found["contradicting-labels"].examples[0].text.startswith("'cat' here, 'dog' as ")


def test_leakage(root):
    shutil.copy(root / "train" / "cat" / "1.png", root / "val" / "cat" / "1.png")
    assert set(_findings(root)) == {"leakage"}


@pytest.mark.parametrize(("size", "code"), [((20, 20), "small-images"), ((400, 60), "long-images")])
def test_unusual_sizes(root, size, code):
    made_image(0, size).save(root / "train" / "cat" / "0.png")
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity, finding.count) == (code, "note", 1)
    assert finding.examples[0].text == f"{size[0]}x{size[1]} pixels"


def test_warnings_of_the_reader_become_findings(root):
    made_image(90).save(root / "train" / "stray.png")
    (root / "train" / "cow").mkdir()
    made_image(91).save(root / "train" / "cow" / "0.png")
    found = _findings(root, class_map=["cat", "dog"], on_unlisted_class="skip")
    assert (found["reader"].severity, found["reader"].source) == ("warning", "training")
    assert "left out 1 images of the classes cow" in found["reader"].fix + found["reader"].what
