"""A training step of small models of all tasks with compiled blocks: the losses and gradients of uncompiled ones."""

import pytest
import torch
from compiled_blocks import count_compilations
from detectron2.config import instantiate
from small_detector import SmallDetector, gradients
from task_recipes import TASKS, small_task

from eva_engine.backbones import transformer_blocks
from eva_engine.compilation import compile_blocks
from eva_engine.memory.synthetic_batch import find_synthetic_batch


@pytest.fixture
def compilations(monkeypatch):
    return count_compilations(monkeypatch)


def step(model, batch):
    """Return the total loss and the gradients of the blocks."""
    torch.manual_seed(0)
    model.zero_grad()
    losses = model(batch)
    total = losses if isinstance(losses, torch.Tensor) else sum(losses.values())
    total.backward()
    found = {}
    for number, block in enumerate(transformer_blocks(model)):
        for name, parameter in block.named_parameters():
            if parameter.grad is not None:
                found[f"{number}.{name}"] = parameter.grad.clone()
    return total.detach(), found


def without_stochastic_depth(cfg):
    for group in (cfg.model, cfg.model.get("backbone"), cfg.model.get("visual")):
        if group is not None and "drop_path_rate" in group:
            group.drop_path_rate = 0.0
    cfg.train.device = "cpu"
    return cfg


@pytest.mark.parametrize("task", TASKS)
def test_a_step_is_that_of_uncompiled_blocks(task, compilations):
    cfg = without_stochastic_depth(small_task(task))
    torch.manual_seed(1)
    model = instantiate(cfg.model).train()
    batch = find_synthetic_batch(cfg, model, 3).make(2)
    names = list(model.state_dict())
    loss, expected = step(model, batch)
    assert expected
    compile_blocks(model, "train.compile=True")
    compiled_loss, found = step(model, batch)
    torch.testing.assert_close(compiled_loss, loss)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    # All blocks share a program, except for a first one whose input needs no gradient.
    assert 1 <= compilations.count <= 2
    assert len(transformer_blocks(model)) >= 2
    assert list(model.state_dict()) == names


def test_windows_and_relative_positions_of_a_detector(compilations):
    model, compiled = SmallDetector(), SmallDetector()
    compiled.load_state_dict(model.state_dict())
    compile_blocks(compiled, "train.compile=True")
    torch.testing.assert_close(gradients(compiled), gradients(model))
    assert compilations.count == 2  # blocks with windows and without
