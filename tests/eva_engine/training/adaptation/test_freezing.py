"""Frozen parameters: selection, autograd, DDP, optimizer, drop path and log."""

import logging
import weakref

import pytest
import torch
from detectron2.config import LazyCall
from detectron2.solver import get_default_optimizer_params
from omegaconf import OmegaConf
from small_detector import DEPTH, SETTINGS, SmallDetector, gradients, pixels, trained_names
from torch import nn
from torch.distributed import HashStore
from torch.nn.parallel import DistributedDataParallel

from eva_backbone.errors import InputError
from eva_classification import create_classifier
from eva_engine.training.adaptation import adapt_model, freeze_parameters
from eva_engine.training.optimization import build_optimizer

FRONT = ["backbone.net.pos_embed", "backbone.net.patch_embed.*"]
HALF = [*FRONT, "backbone.net.blocks.[01].*"]
CHECKPOINTING = ["", "torch", "fairscale"]


def settings(**changes):
    return SETTINGS | changes


def need(how):
    if how.startswith("fairscale"):
        pytest.importorskip("fairscale")


def test_patterns_freeze_what_they_match_and_count_it():
    model = SmallDetector()
    count = freeze_parameters(model, ["*.mlp.fc?.bias", "head.*", "*.fc1.bias"])
    frozen = set(dict(model.named_parameters())) - set(trained_names(model))
    biases = {f"backbone.net.blocks.{i}.mlp.fc{j}.bias" for i in range(DEPTH) for j in (1, 2)}
    assert frozen == biases | {"head.weight", "head.bias"}
    assert count == DEPTH * (64 + 16) + 3 * 16 + 3


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("backbone.net", r"backbone\.net\.\*"),
        ("backbone.net.pos_embd", r"backbone\.net\.pos_embed"),
        ("backbone.net.block.*", r"backbone\.net\.blocks\.\*"),
        ("zzzzzzzz", r"backbone\.\*, head\.\*, head\.weight"),
    ],
)
def test_a_pattern_without_a_match_suggests_similar_names_and_freezes_nothing(pattern, near):
    model = SmallDetector()
    with pytest.raises(InputError, match=f"no parameter matches '{pattern}'; similar names are .*{near}"):
        freeze_parameters(model, ["head.*", pattern])
    assert len(trained_names(model)) == len(list(model.parameters()))


def test_nothing_left_to_train_is_refused():
    with pytest.raises(InputError, match="leaves no parameter to train"):
        adapt_model(SmallDetector(), settings(freeze=["*"]))


@pytest.mark.parametrize("how", CHECKPOINTING)
def test_autograd_stops_above_frozen_blocks(how):
    need(how)
    plain, model = SmallDetector(), SmallDetector()
    model.load_state_dict(plain.state_dict())
    adapt_model(model, settings(freeze=HALF, activation_checkpointing=how))
    leaves, kept = {}, []
    for number, block in enumerate(model.backbone.net.blocks):
        block.register_forward_hook(lambda _, __, out, number=number: leaves.update({number: out.grad_fn is None}))
    net, (patches, grid) = model.backbone.net, model.backbone.net.patch_embed(pixels())
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(weakref.ref(x)) or x, lambda x: x):
        net.run_blocks(net.add_positions(patches, grid), grid, 0, 2)
    assert not [x for x in kept if x() is not None]  # the frozen blocks keep no activations
    result = gradients(model)
    assert leaves == {0: True, 1: True, 2: False, 3: False}
    expected = gradients(plain)
    assert set(result) == {name for name in expected if name in set(trained_names(model))}
    for name, value in result.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("how", CHECKPOINTING)
def test_distributed_training_needs_no_search_for_unused_parameters(how):
    need(how)
    model = SmallDetector()
    adapt_model(model, settings(freeze=HALF, activation_checkpointing=how))
    torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
        for _ in range(2):  # a parameter without a gradient would be missed when the second step begins
            gradients(wrapped)
    finally:
        torch.distributed.destroy_process_group()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_frozen_blocks_have_no_drop_path_in_training_mode():
    model = SmallDetector(drop_path_rate=0.5)
    adapt_model(model, settings(freeze=[*HALF, "backbone.net.blocks.2.mlp.*"]))
    model.eval().train()
    drops = [type(block.drop_path).__name__ for block in model.backbone.net.blocks]
    assert drops == ["Identity", "Identity", "DropPath", "DropPath"]


def test_a_frozen_backbone_gives_the_same_features_in_training_and_evaluation():
    model = SmallDetector(drop_path_rate=0.5)
    adapt_model(model, settings(freeze=["backbone.*"]))
    net = model.backbone.net
    assert torch.equal(net.train()(pixels())["last_feat"], net.eval()(pixels())["last_feat"])
    assert set(gradients(model)) == {"head.weight", "head.bias"}


def test_the_optimizer_holds_only_what_is_trained():
    model = SmallDetector()
    adapt_model(model, settings(freeze=HALF))
    groups = LazyCall(get_default_optimizer_params)(base_lr=0.1, weight_decay=0.1, weight_decay_norm=0.0)
    cfg = OmegaConf.create(
        {"optimizer": LazyCall(torch.optim.AdamW)(params=groups, lr=0.1)}, flags={"allow_objects": True}
    )
    optimizer = build_optimizer(cfg, model)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients(model)
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(trained_names(model))


@pytest.mark.parametrize(
    ("patterns", "hint"),
    [
        (HALF, None),
        (["backbone.*"], None),
        (["head.*"], None),
        (HALF[1:], "2 frozen block(s) and keeps their activations, because backbone.net.pos_embed below"),
        (
            [*HALF, "backbone.net.blocks.3.*"],
            "1 frozen block(s) and keeps their activations, because backbone.net.blocks.2",
        ),
    ],
)
def test_the_log_has_the_trained_parameters_and_warns_of_costly_frozen_blocks(patterns, hint, caplog):
    model = SmallDetector()
    with caplog.at_level(logging.INFO, logger="eva_engine"):
        adapt_model(model, settings(freeze=patterns))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"{trained:,} of {total:,} parameters are trained (")
    assert len(lines) == (2 if hint else 1)
    assert not hint or hint in lines[1]


def test_a_model_without_transformer_blocks_can_be_frozen_too():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    adapt_model(model, settings(freeze=["0.*"]))
    assert trained_names(model) == ["1.weight", "1.bias"]


def test_a_head_above_frozen_blocks_needs_no_backward_pass_through_them(caplog):
    model = create_classifier("eva_tiny_patch14", num_classes=3, depth=2)
    frozen = [name for name, _ in model.named_parameters() if not name.startswith("head.")]
    with caplog.at_level(logging.INFO, logger="eva_engine"):
        adapt_model(model, settings(freeze=frozen))
    assert len(caplog.records) == 1
