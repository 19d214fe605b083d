"""Deferred initialisation equals plain initialisation in distribution, and runs only where it is needed."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm.layers
import torch
from fvcore.nn import weight_init
from torch import nn

from eva_backbone.deferred_init import deferred_init


def linear_with(init):
    def build():
        layer = nn.Linear(400, 300)
        init(layer.weight)
        return layer

    return build


def in_no_grad(function):
    def init(weight):
        with torch.no_grad():
            function(weight)

    return init


def scale_by_depth(weight):
    nn.init.trunc_normal_(weight, std=0.02)
    weight.data.div_(math.sqrt(2 * 3))


def add_then_clamp(weight):
    nn.init.normal_(weight)
    weight.add_(3).clamp_(max=4)


def zero_some_rows(weight):
    weight.fill_(2)
    weight[:100].zero_()


INITS = {
    "plain": lambda _weight: None,
    "constant_": lambda w: nn.init.constant_(w, 0.5),
    "ones_": nn.init.ones_,
    "normal_": lambda w: nn.init.normal_(w, 1.0, 0.1),
    "uniform_": lambda w: nn.init.uniform_(w, -2, 3),
    "trunc_normal_": lambda w: nn.init.trunc_normal_(w, std=0.02),
    "tight trunc_normal_": lambda w: nn.init.trunc_normal_(w, std=0.015, a=-0.015, b=0.015),
    "timm trunc_normal_": lambda w: timm.layers.trunc_normal_(w, std=0.02),
    "timm trunc_normal_tf_": lambda w: timm.layers.trunc_normal_tf_(w, std=0.02),
    "kaiming_normal_": nn.init.kaiming_normal_,
    "xavier_uniform_": nn.init.xavier_uniform_,
    "scaled after": scale_by_depth,
    "arithmetic": in_no_grad(add_then_clamp),
    "part of it": in_no_grad(zero_some_rows),
    "data": lambda w: w.data.normal_(0, 3),
    "in-place method": in_no_grad(lambda w: w.normal_(5, 1)),
}


def moments(values):
    return torch.stack([values.mean(), values.std(), values.abs().mean(), values.min(), values.max()])


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_same_distribution_as_plain_construction(init):
    expected = moments(linear_with(init)().weight.detach())
    with deferred_init() as pending:
        layer = linear_with(init)()
        assert pending.holds(layer.weight), "the initialiser was run"
    layer.weight.data.fill_(torch.nan)  # values that are not initialised stay NaN
    pending.materialize(layer)
    result = moments(layer.weight.detach())
    scale = expected[1].item() or 1.0
    torch.testing.assert_close(result[:3], expected[:3], rtol=0, atol=0.02 * scale)
    torch.testing.assert_close(result[3:], expected[3:], rtol=0, atol=1.2 * scale)


def c2_filled(fill):
    def build():
        layer = nn.Conv2d(64, 64, 3)
        fill(layer)
        return layer

    return build


class CopyOfAnother(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        with torch.no_grad():
            self.second.weight.copy_(self.first.weight * 2)
            self.first.weight.mul_(3)


@pytest.mark.parametrize("fill", [weight_init.c2_msra_fill, weight_init.c2_xavier_fill])
def test_detectron2_fills(fill):
    expected = c2_filled(fill)().weight.std()
    with deferred_init() as pending:
        layer = c2_filled(fill)()
        assert pending.holds(layer.weight)
    pending.materialize(layer)
    torch.testing.assert_close(layer.weight.std(), expected, rtol=0.03, atol=0)
    assert layer.bias.abs().max() == 0


def test_a_read_sees_initialised_values():
    with deferred_init() as pending:
        model = CopyOfAnother()
    pending.materialize(model)
    assert model.first.weight.abs().max() > 0
    torch.testing.assert_close(model.second.weight / 2, model.first.weight / 3)


def test_deep_copies_are_initialised():
    with deferred_init() as pending:
        layers = nn.ModuleList([nn.Linear(100, 100)])
        layers.append(copy.deepcopy(layers[0]))
    pending.materialize(layers)
    assert torch.equal(layers[0].weight, layers[1].weight)
    torch.testing.assert_close(layers[0].weight.std().item(), 0.1 / math.sqrt(3), rtol=0.05, atol=0)


def test_orthogonal_is_orthogonal():
    with deferred_init() as pending:
        layer = linear_with(nn.init.orthogonal_)()
    pending.materialize(layer)
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(300), rtol=0, atol=1e-4)


def test_buffers_and_values_given_at_construction_are_real():
    with deferred_init() as pending:
        norm = nn.BatchNorm1d(5)
        norm.register_buffer("mean", torch.tensor([1.0, 2.0]) * 3)
        norm.register_buffer("scale", torch.zeros(2))
        norm.scale.fill_(5)
        norm.gamma = nn.Parameter(0.1 * torch.ones(4))
    assert norm.running_var.tolist() == [1.0] * 5
    assert norm.mean.tolist() == [3.0, 6.0]
    assert norm.scale.tolist() == [5.0, 5.0]
    torch.testing.assert_close(norm.gamma.detach(), torch.full((4,), 0.1))
    pending.materialize(norm)
    assert norm.weight.tolist() == [1.0] * 5


def test_only_the_named_parameters_are_initialised():
    with deferred_init() as pending:
        model = nn.Sequential(nn.LayerNorm(3), nn.LayerNorm(3))
    for layer in model:
        layer.weight.data.fill_(7)
    pending.materialize(model, {"1.weight"})
    assert model[0].weight.tolist() == [7.0] * 3
    assert model[1].weight.tolist() == [1.0] * 3


def test_flags_and_shapes_change_at_once():
    with deferred_init() as pending:
        layer = nn.Linear(4, 6)
        layer.weight.requires_grad_(False)
        layer.weight.unsqueeze_(0)
    assert not layer.weight.requires_grad
    assert layer.weight.shape == (1, 6, 4)
    pending.materialize(layer)
    assert layer.weight.abs().max() <= 0.5


def test_overwritten_initialisers_are_dropped():
    with deferred_init() as pending:
        layer = nn.Linear(10, 10)
        for _ in range(5):
            nn.init.normal_(layer.weight)
    assert [len(calls) for calls in pending._calls.values()] == [1, 1]


def test_other_recorded_calls_are_discarded():
    with deferred_init() as pending:
        layer = nn.Linear(10, 10)
    assert len(pending) == 2
    pending.materialize(layer, set())
    assert len(pending) == 0
    assert not pending._aliases  # these would keep the memory allocated


def test_trunc_normal_is_restored_after_an_error():
    original = nn.init.trunc_normal_
    with pytest.raises(RuntimeError, match="shape"), deferred_init():
        torch.ones(2).reshape(3)
    assert nn.init.trunc_normal_ is original


UNTOUCHED = """
import torch
from torch import nn
from eva_backbone.deferred_init import deferred_init

with deferred_init() as pending:
    layer = nn.Linear(3000, 3000)
    nn.init.trunc_normal_(layer.weight)
assert layer.weight.detach().count_nonzero() == 0  # pages fresh from the system read as zero
pending.materialize(layer)
assert layer.weight.detach().count_nonzero() > 8_000_000
"""


def test_untouched_memory():
    """Building does not write to the memory of a large parameter. In a new process, whose heap has no reused pages."""
    done = subprocess.run(
        [sys.executable, "-c", UNTOUCHED], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
