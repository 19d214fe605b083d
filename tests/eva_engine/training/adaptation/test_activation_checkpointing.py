"""Activation checkpointing: same gradients bit for bit, same names, same random numbers, same precision."""

import copy
import sys

import pytest
import torch
from small_detector import DEPTH, SmallDetector, assert_same, gradients, pixels
from torch import nn

from eva_backbone.block import Block
from eva_backbone.errors import InputError
from eva_engine.training.adaptation import checkpoint_activations

HOWS = ["torch", "fairscale", "fairscale_offload"]


@pytest.fixture(params=HOWS)
def how(request):
    if request.param != "torch":
        pytest.importorskip("fairscale")
    return request.param


def pair(how, **options):
    plain, model = SmallDetector(**options), SmallDetector(**options)
    model.load_state_dict(plain.state_dict())
    checkpoint_activations(model, how)
    return plain, model


@pytest.mark.parametrize("options", [{}, {"drop_path_rate": 0.5}, {"use_act_checkpoint": True, "use_rel_pos": False}])
def test_gradients_are_the_same_bit_for_bit(how, options):
    plain, model = pair(how, **options)
    assert_same(gradients(model), gradients(plain))
    assert not torch.equal(gradients(plain, 3)["head.weight"], gradients(plain, 4)["head.weight"]) or not options.get(
        "drop_path_rate"
    )


@pytest.mark.parametrize("options", [{}, {"use_act_checkpoint": True}])
def test_every_block_runs_twice(how, options, monkeypatch):
    runs = []
    forward = Block.forward
    monkeypatch.setattr(Block, "forward", lambda block, *args: runs.append(block) or forward(block, *args))
    model = pair(how, **options)[1]
    gradients(model)
    assert [runs.count(block) for block in model.backbone.net.blocks] == [2] * DEPTH
    runs.clear()
    with torch.no_grad():
        model(pixels())
    assert len(runs) == DEPTH


def test_names_and_state_are_unchanged(how):
    plain, model = pair(how)
    assert_same(dict(model.named_parameters()), dict(plain.named_parameters()))
    assert [name for name, _ in model.named_modules()] == [name for name, _ in plain.named_modules()]
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(model.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_repeated(how, dtype):
    plain, model = pair(how)
    results = []
    for candidate in (plain, model):
        with torch.autocast("cpu", dtype):
            loss = candidate.train()(pixels()).float().square().mean()
        loss.backward()
        results.append({name: parameter.grad for name, parameter in candidate.named_parameters()})
    assert_same(*results)


def test_fairscale_never_chooses_the_precision(monkeypatch):
    module = pytest.importorskip("fairscale.nn.checkpoint.checkpoint_activations")
    seen = []
    monkeypatch.setattr(module, "is_autocast_enabled", lambda: seen.append(torch.is_autocast_enabled("cpu")) or False)
    model = pair("fairscale")[1]
    with torch.autocast("cpu", torch.bfloat16):
        gradients(model)
    assert seen == [False] * DEPTH


def test_a_copy_computes_with_its_own_weights(how):
    model = pair(how)[1]
    other = copy.deepcopy(model)
    gradients(other)
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert model(pixels()).abs().max() > 0
    assert other(pixels()).abs().max() == 0


def test_an_input_without_gradient_and_without_warning(how, recwarn):
    _, model = pair(how)
    model.backbone.net.patch_embed.requires_grad_(False)
    model.backbone.net.pos_embed.requires_grad_(False)
    assert "backbone.net.blocks.0.mlp.fc1.weight" in gradients(model)
    assert not [str(warning.message) for warning in recwarn]


def test_an_empty_setting_leaves_the_options_of_the_model():
    model = SmallDetector(use_act_checkpoint=True)
    checkpoint_activations(model, "")
    assert model.backbone.net.checkpoint_blocks


@pytest.mark.parametrize(
    ("model", "how", "sentence"),
    [
        (SmallDetector, "fairscal", "'fairscal' is not known; choose one of torch, fairscale, fairscale_offload"),
        (lambda: nn.Linear(1, 1), "torch", "no part of Linear lists them"),
    ],
)
def test_unusable_settings_are_refused(model, how, sentence):
    with pytest.raises(InputError, match=sentence):
        checkpoint_activations(model(), how)


def test_missing_fairscale_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "fairscale.nn.checkpoint", None)
    model = SmallDetector()
    with pytest.raises(InputError, match="pip install fairscale"):
        checkpoint_activations(model, "fairscale")
    assert not model.backbone.net.checkpoint_blocks
