"""Explanations of classifiers: the numbers are those of hotcoco or counted by hand, and the right images are drawn."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hotcoco import metrics
from image_folders import write_image_folders
from omegaconf import OmegaConf
from PIL import Image

from eva_classification.data.image_dataset import ImageDataset
from eva_classification.data.mapper import UNREADABLE
from eva_classification.evaluation import ClassificationEvaluator, LabelMapping
from eva_engine.report.sections import ImageGrid

CFG = OmegaConf.create({"dataloader": {"categories": ["ant", "bee", "cat"]}})
# Probabilities of the classes ant, bee, cat of the twelve images, four of each class.
PROBABILITIES = np.array(
    [
        [[0.71, 0.2, 0.09], [0.61, 0.3, 0.09], [0.1, 0.85, 0.05], [0.28, 0.52, 0.2]],  # ant: two taken for bee
        [[0.1, 0.81, 0.09], [0.1, 0.81, 0.09], [0.2, 0.71, 0.09], [0.04, 0.91, 0.05]],  # bee: all right
        [[0.2, 0.19, 0.61], [0.3, 0.09, 0.61], [0.95, 0.03, 0.02], [0.1, 0.09, 0.81]],  # cat: one taken for ant
    ]
).reshape(12, 3)


@pytest.fixture
def dataset(tmp_path):
    return ImageDataset(str(write_image_folders(tmp_path)), split=None)


def explained(dataset, label_mapping=None, unreadable=(), cfg=CFG):
    evaluator = ClassificationEvaluator(label_mapping)
    records = [dataset[index] for index in range(len(dataset))]
    labels = [UNREADABLE if index in unreadable else index // 4 for index in range(len(dataset))]
    batch = {"label": torch.tensor(labels), "file_name": [record["file_name"] for record in records]}
    evaluator.process(batch, torch.tensor(PROBABILITIES).log())
    evaluator.evaluate()
    sections = evaluator.explain(cfg, SimpleNamespace(dataset=dataset))
    return {section.title: section for section in sections}


def test_classes_confusions_and_calibration(dataset):
    sections = explained(dataset)
    table, chart = sections["Classes"].parts
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows == {
        "ant": pytest.approx([4, 2 / 3, 2 / 4, 4 / 7]),
        "bee": pytest.approx([4, 4 / 6, 1.0, 8 / 10]),
        "cat": pytest.approx([4, 1.0, 3 / 4, 6 / 7]),
    }
    assert [row[0] for row in table.rows] == ["ant", "bee", "cat"], "the lowest F1 first"
    assert table.colors == [0, 1, 2]
    matrix, errors = sections["Confusions"].parts
    assert matrix.counts == [[2, 2, 0], [0, 4, 0], [1, 0, 3]]
    assert [row[:3] for row in errors.rows] == [["ant", "bee", 2], ["cat", "ant", 1]]
    scores, is_right = PROBABILITIES.max(1), PROBABILITIES.argmax(1) == np.arange(12) // 4
    bins = [one for one in metrics.calibration_curve(scores, is_right, 10) if one["count"]]
    assert list(chart.lines[1].x) == pytest.approx([one["avg_confidence"] for one in bins])
    assert list(chart.lines[1].y) == pytest.approx([one["avg_accuracy"] for one in bins])
    assert f"error is {metrics.calibration_error(scores, is_right, 10)[0]:.1%}" in chart.note


def test_the_wrong_images_with_the_highest_scores_are_drawn(dataset):
    sections = explained(dataset)
    (grid,) = sections["Worst images"].parts
    assert isinstance(grid, ImageGrid)
    assert [figure.caption for figure in grid.figures] == [
        "cat, predicted ant with 95% (cat 2%): 2.png",
        "ant, predicted bee with 85% (ant 10%): 2.png",
        "ant, predicted bee with 52% (ant 28%): 3.png",
    ]
    drawn = Image.open(io.BytesIO(base64.b64decode(grid.figures[0].images[0][1])))
    with Image.open(dataset[10]["file_name"]) as expected:
        assert drawn.size == expected.size
        assert abs(np.asarray(drawn).mean() - np.asarray(expected).mean()) < 4
    examples = sections["Confusions"].parts[0].examples
    assert {cell: len(figure.images) for cell, figure in examples.items()} == {"0,1": 2, "2,0": 1}
    assert examples["0,1"].caption == "ant taken for bee: 2"


def test_several_correct_classes_and_unreadable_images(dataset):
    class AntOrBee(LabelMapping):
        def correct_classes(self, label, file_name):
            return (0, 1) if label == 0 else super().correct_classes(label, file_name)

    sections = explained(dataset, AntOrBee(), unreadable=(10,))
    assert sections["Classes"].note == "0 of 11 images are wrong."
    assert sections["Worst images"].note == "No images are wrong."
    assert sections["Confusions"].parts[0].counts == [[2, 0, 0], [0, 6, 0], [0, 0, 3]]


def test_a_recipe_without_names_takes_those_of_the_folders(dataset):
    table, _ = explained(dataset, cfg=OmegaConf.create({}))["Classes"].parts
    assert [row[0] for row in table.rows] == ["ant", "bee", "cat"]


def test_without_images_nothing_is_explained(dataset):
    evaluator = ClassificationEvaluator()
    evaluator.evaluate()
    assert evaluator.explain(CFG, SimpleNamespace(dataset=dataset)) == []
