"""Losses of training on validation data: the right mean, the same each time, and nothing changed."""

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.data import build_train_loader
from eva_engine.training.precision import Precision
from eva_engine.training.random_state import get_random_state
from eva_engine.training.validation_loss import ValidationLoss, validation_dataset


class Numbers:
    def __init__(self, first, size):
        self.first, self.size = first, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return {"number": float(self.first + index)}


def add_noise(record):
    return {"number": record["number"] + np.random.rand()}


def stack(samples):
    return {"number": torch.tensor([sample["number"] for sample in samples], dtype=torch.float32)}


class Model(nn.Module):
    """The loss is the mean of the inputs, if dropout and batch norm do nothing to them; sees every batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.norm, self.dropout = nn.BatchNorm1d(1, eps=0.0), nn.Dropout(0.9)
        self.register_buffer("calls", torch.zeros(()))
        self.frozen = nn.Dropout(0.5).eval()
        self.batches = []

    def forward(self, batch):
        assert self.training
        self.calls += 1
        self.batches.append(batch["number"])
        values = self.dropout(self.norm(batch["number"][:, None])) * self.weight
        return {"loss_mean": values.mean(), "loss_one": self.weight * torch.rand(())}


def recipe(validation=None, size=10, batch=4, accumulation_steps=1):
    loader = L(build_train_loader)(
        dataset=L(Numbers)(first=0, size=50), mapper=add_noise, collate=stack, total_batch_size=batch, num_workers=0
    )
    test = L(EvalData)(dataset=L(Numbers)(first=100, size=size))
    cfg = OmegaConf.create({"train": TRAIN_SETTINGS}, flags={"allow_objects": True})
    cfg.train.accumulation_steps = accumulation_steps
    cfg.dataloader = {"train": loader, "test": test, "validation": validation}
    return cfg


class EvalData:
    """A test loader, which is not built."""

    def __init__(self, dataset):
        self.dataset = dataset


def losses(cfg, model):
    with EventStorage(7) as storage:
        found = ValidationLoss(cfg, model, Precision(cfg.train.amp, "cpu"))()["validation"]
        assert storage.histories() == {}
    return found


@pytest.mark.parametrize(
    ("size", "batch", "steps", "sizes"), [(10, 5, 1, [5, 5]), (9, 4, 1, [4, 4, 4]), (6, 6, 3, [2] * 3)]
)
def test_mean_over_all_records_with_the_mapper_of_training(size, batch, steps, sizes):
    model = Model()
    found = losses(recipe(size=size, batch=batch, accumulation_steps=steps), model)
    assert [len(numbers) for numbers in model.batches] == sizes
    seen = torch.cat(model.batches)
    assert seen[:size].floor().tolist() == [100.0 + index for index in range(size)]
    assert seen.frac().unique().numel() == len(seen)  # each record has its own noise
    assert found["loss_mean"] == pytest.approx(seen.mean().item())
    assert found["total_loss"] == pytest.approx(found["loss_mean"] + found["loss_one"])


def test_every_time_the_same_and_nothing_changed():
    model, cfg = Model(), recipe()
    validation = ValidationLoss(cfg, model, Precision(cfg.train.amp, "cpu"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with EventStorage():
        torch.manual_seed(1)
        first = validation()
        torch.manual_seed(2)
        assert validation() == first
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert model.weight.grad is None
    assert (model.training, model.norm.training, model.frozen.training) == (True, True, False)
    model.eval()
    with EventStorage():
        assert validation() == first
    assert not any(module.training for module in model.modules())


def test_data_of_its_own_or_a_sentence():
    assert validation_dataset(recipe(L(Numbers)(first=500, size=2))).first == 500
    cfg = recipe()
    cfg.dataloader.test.dataset = L(EvalData)(dataset=None)
    with pytest.raises(InputError, match=r"needs validation data of the same kind .* dataloader\.validation"):
        validation_dataset(cfg)
    del cfg.dataloader.test
    with pytest.raises(InputError, match="add it to the recipe"):
        validation_dataset(cfg)


def test_random_state_of_training_is_not_touched_by_the_hook(tmp_path):
    from rotation_recipe import rotation_recipe

    from eva_engine.training.run import train

    states = []
    for options in ([], ["train.validation_loss=True", "train.eval_period=1"]):
        train(rotation_recipe(tmp_path / str(len(options)), "train.max_iter=3", *options))
        states.append(get_random_state())
    assert torch.equal(states[0]["torch"], states[1]["torch"])
