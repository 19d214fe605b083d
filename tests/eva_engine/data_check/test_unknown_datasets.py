"""Datasets of recipes that the data checks cannot read are named, and do not look like faulty data."""

import logging

import pytest

from eva_engine.config import load_config
from eva_engine.config.task_lookup import task_of_config
from eva_engine.data_check.command_run import log_quick_findings
from eva_engine.data_check.data_check import UnknownDatasetError

CLASSIFICATION = "projects/Classification/configs/demo/mnist_scratch.py"
VIDEO = "projects/Video/configs/demo/playback.py"
DIGITS = "dataloader.train.dataset is a TrainingDigits, which the data check cannot read; it takes ImageDataset."


@pytest.mark.parametrize(("recipe", "sentence"), [(CLASSIFICATION, DIGITS), (VIDEO, "PlaybackDataset")])
def test_datasets_of_demos(recipe, sentence):
    cfg = load_config(recipe)
    check = task_of_config(cfg).load("data_check")(cfg, ["train"])
    with pytest.raises(UnknownDatasetError) as raised:
        check.run(quick=True)
    assert sentence in str(raised.value)


def test_training_reports_it_without_a_warning(caplog):
    with caplog.at_level(logging.INFO, logger="eva_engine.data_check"):
        log_quick_findings(load_config(CLASSIFICATION))
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"The data is not checked: {DIGITS}"
