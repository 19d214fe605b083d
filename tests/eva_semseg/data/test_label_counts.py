"""Labelled pixels per class before a run, and the mapping of values, in training and evaluation alike."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_labels import write_image, write_labels

from eva_backbone.errors import InputError
from eva_semseg.data import SegmentationDataset, TrainingMapper, label_counts
from eva_semseg.evaluation import SegmentationEvaluator


def write_masks(root, values=(0, 255), count=4) -> dict:
    """Write label maps of 8x8 pixels with values[0], and a square of 3x3 pixels that takes the other ones in turn."""
    for number in range(count):
        labels = np.full((8, 8), values[0])
        labels[2:5, 2:5] = np.resize(values[1:], (3, 3)) if len(values) > 1 else values[0]
        write_image(root / f"photos/{number}.png", 8, 8)
        write_labels(root / f"labels/{number}.png", labels)
    return {"image_root": str(root / "photos"), "label_root": str(root / "labels")}


def test_masks_of_0_and_255_are_a_warning_that_names_class_and_values(tmp_path, caplog) -> None:
    folders = write_masks(tmp_path)
    SegmentationDataset(**folders, class_names=["ground", "object"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "4 of 4 label files were looked at: 1 of 2 classes have no pixel (object). The values there are "
        "0 (85.9 %), 255 (14.1 %); if other values mean these classes, map them with the dataset's label_values, "
        "such as {0: 0, 255: 1}."
    )
    SegmentationDataset(**folders, class_names=["ground", "object"])
    assert len(caplog.records) == 1  # not for every dataset of a run


def test_values_of_no_class_are_named_before_the_run(tmp_path, caplog) -> None:
    SegmentationDataset(**write_masks(tmp_path, (1, 2, 7)), class_names=["a", "b", "c"])
    (record,) = caplog.records
    assert "1 of 3 classes have no pixel (a), and the value 7 in " in record.getMessage()
    assert ".png is none of the 3 classes" in record.getMessage()


def test_labels_of_every_class_are_silent(tmp_path, caplog) -> None:
    SegmentationDataset(**write_masks(tmp_path, (0, 1, 255)), class_names=["a", "b"])
    SegmentationDataset(**write_masks(tmp_path / "mapped"), class_names=["a", "b"], label_values={0: 0, 255: 1})
    assert not caplog.records


@pytest.mark.parametrize(("limit", "value", "looked_at"), [("_MAX_FILES", 3, 3), ("_MAX_PIXELS", 100, 2)])
def test_only_some_files_of_a_large_dataset_are_read(tmp_path, caplog, monkeypatch, limit, value, looked_at) -> None:
    monkeypatch.setattr(label_counts, limit, value)
    SegmentationDataset(**write_masks(tmp_path, count=9), class_names=["ground", "object"])
    assert f"{looked_at} of 9 label files were looked at" in caplog.text


def test_unreadable_labels_do_not_stop_the_count(tmp_path, caplog) -> None:
    folders = write_masks(tmp_path)
    (tmp_path / "labels/0.png").write_bytes(b"no image")
    SegmentationDataset(**folders, class_names=["ground", "object"])
    assert "3 of 4 label files" in caplog.text


def test_training_and_evaluation_follow_the_mapping(tmp_path) -> None:
    folders = write_masks(tmp_path)
    data = SegmentationDataset(**folders, class_names=["ground", "object"], label_values={0: 0, 255: 1})
    truth = np.array(Image.open(tmp_path / "labels/0.png")) // 255
    mapper = TrainingMapper([], size=(8, 8), pixel_mean=[0] * 3, pixel_std=[1] * 3, num_classes=2)
    assert (mapper(data[0])["label"] == truth).all()
    evaluator = SegmentationEvaluator(data)
    evaluator.reset()
    for record in data:
        evaluator.process(
            [record], [{"sem_seg": torch.nn.functional.one_hot(torch.tensor(truth).long(), 2).permute(2, 0, 1)}]
        )
    results = evaluator.evaluate()["sem_seg"]
    assert results["IoU-object"] == results["mIoU"] == 100


def test_the_mapping_itself(tmp_path) -> None:
    folders = write_masks(tmp_path, (0, 100, 200))
    mapping = {0: 255, 100: 0}
    data = SegmentationDataset(**folders, class_names=["a"], label_values=mapping)
    mapper = TrainingMapper([], size=(8, 8), pixel_mean=[0] * 3, pixel_std=[1] * 3, num_classes=1)
    with pytest.raises(
        InputError, match=r"0\.png: \d pixels have the value 200 or another one that label_values does not"
    ):
        mapper(data[0])
    for bad in ({}, {0: 1}, {"a": 0}, [0, 1], {0: -1}, {0: None}):
        with pytest.raises(InputError, match="does not map label values to classes"):
            SegmentationDataset(**folders, class_names=["a"], label_values=bad)


def test_the_recipe_has_one_mapping_for_training_and_evaluation() -> None:
    from pathlib import Path

    from eva_engine.config import load_config

    recipe = Path(__file__).parents[3] / "projects/SemSeg/configs/coco_stuff164k.py"
    cfg = load_config(str(recipe), ["dataloader.train.dataset.label_values={0:0,255:1}"])
    assert cfg.dataloader.test.dataset.label_values == {0: 0, 255: 1}
