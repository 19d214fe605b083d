"""Models for prediction are of the right kind, and nothing in them is random."""

import pytest
import torch
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.prediction.trained_model import load_trained


@pytest.fixture
def cfg():
    return OmegaConf.create({"model": L(nn.BatchNorm1d)(num_features=3)}, flags={"allow_objects": True})


@pytest.fixture
def weights(tmp_path):
    values = {"weight": torch.ones(3), "bias": torch.full((3,), 2.0), "running_mean": torch.zeros(3)}
    torch.save(values, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_values_of_the_file_without_buffers(cfg, weights):
    model = load_trained(cfg, weights, nn.Module)
    assert not model.training
    assert model.bias.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("entries", "evaluate", "taken"),
    [(["model", "ema"], True, "ema"), (["model", "ema"], False, "model"), (["model"], True, "model")],
)
def test_moving_average_of_a_run_that_measures_it(entries, evaluate, taken, cfg, tmp_path, caplog):
    content = {
        entry: {"weight": torch.ones(3), "bias": torch.full((3,), float(number)), "running_mean": torch.zeros(3)}
        for number, entry in enumerate(entries)
    }
    torch.save(content, tmp_path / "run.pth")
    cfg.train = {"ema": {"enabled": True, "evaluate": evaluate}}
    with caplog.at_level("INFO"):
        model = load_trained(cfg, tmp_path / "run.pth", nn.Module)
    assert model.bias.tolist() == [entries.index(taken)] * 3
    assert ("Using the moving average of the weights" in caplog.text) == (taken == "ema")


def test_another_kind_of_model(cfg, weights):
    with pytest.raises(
        InputError, match="the config's model is a BatchNorm1d; to predict, give the recipe of a Conv2d"
    ):
        load_trained(cfg, weights, nn.Conv2d)


def test_random_parameters(cfg, weights):
    torch.save({name: torch.ones(3) for name in ("weight", "running_mean", "running_var")}, weights)
    with pytest.raises(InputError, match=r"has no values for 1 parameters of the model \(bias, ...\)"):
        load_trained(cfg, weights, nn.Module)
