"""Missing sections and image folders are reported before a model is built."""

import pytest
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config import check_datasets, check_sections


def recipe(train: str, test: str, evaluator: str | None = "some", **dataset: str):
    return OmegaConf.create(
        {
            "dataloader": {
                "train": {"dataset": {"root": train, **dataset}},
                "test": {"dataset": {"root": test, **dataset}},
                "evaluator": evaluator,
            }
        }
    )


def test_folders_that_will_be_used_must_exist(tmp_path):
    there, gone = str(tmp_path), str(tmp_path / "gone")
    check_datasets(recipe(there, there), training=True)
    check_datasets(recipe(gone, there), training=False)
    check_datasets(recipe(there, gone, evaluator=None), training=True)
    check_datasets(recipe(gone, gone, name="hfds/mnist"), training=True)
    with pytest.raises(InputError, match=r"gone does not exist; .* dataloader\.train\.dataset\.root"):
        check_datasets(recipe(gone, there), training=True)
    with pytest.raises(InputError, match=r"gone does not exist; .* dataloader\.test\.dataset\.root"):
        check_datasets(recipe(there, gone), training=False)
    with pytest.raises(InputError, match=r"no dataloader\.evaluator, it can only be trained"):
        check_datasets(recipe(there, there, evaluator=None), training=False)


def test_missing_section_is_named():
    check_sections(OmegaConf.create({"model": {}, "dataloader": None}), "model", "dataloader")
    with pytest.raises(InputError, match=r"the config has no optimizer; give a recipe of projects/"):
        check_sections(OmegaConf.create({"model": {}}), "model", "optimizer")
