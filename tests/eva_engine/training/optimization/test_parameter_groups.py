"""Parameter groups of the published segmentation models, of corrected and partly frozen models, and of a recipe."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import LazyCall
from omegaconf import OmegaConf
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_engine.training.optimization import GroupingRule, build_optimizer, layer_decay_groups
from eva_semseg.parameter_groups import published_grouping

MANIFESTS = Path(__file__).parents[3] / "data" / "manifests"
SEGMENTATION = ["ade_ss61p5_ms62p3", "cocostuff_53p4"]
CORRECTED = GroupingRule(prefix="backbone.")  # what the backbone of a real model says itself
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def read_manifest(name):
    return json.loads(gzip.decompress((MANIFESTS / f"eva_sem_seg_mask2former_{name}.json.gz").read_bytes()))


def published_model(name):
    """Parameters of a published segmentation model: names and shapes."""
    parameters = [
        (name, nn.Parameter(torch.empty(shape, device="meta")))
        for name, shape, _ in read_manifest(name)["entries"]
        if not name.endswith(BUFFERS)
    ]
    return SimpleNamespace(named_parameters=lambda: parameters)


def describe(model, groups):
    """{name: (lr, weight decay)} in the order of the groups."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return {name_of[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_groups_are_the_published_ones(name):
    published = read_manifest(f"{name}.lr_groups")
    model = published_model(name)
    groups = layer_decay_groups(
        model, published["base_lr"], published["weight_decay"], published["rate"], published_grouping()
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [(g["lr"], g["weight_decay"], [names[id(p)] for p in g["params"]]) for g in groups]
    expected = [(g["lr"], g["weight_decay"], g["params"]) for g in published["groups"]]
    assert len(found) == 84
    assert sorted(found) == sorted(expected)


def test_corrected_segmentation_groups_differ_in_the_queries_and_the_tokens():
    model = published_model(SEGMENTATION[0])
    published, corrected = (
        describe(model, layer_decay_groups(model, 1.0, 0.05, 0.95, rule)) for rule in (published_grouping(), CORRECTED)
    )
    different = {name for name in published if published[name] != corrected[name]}
    assert {corrected[name] for name in different if name.startswith("decode_head.")} == {(1.0, 0.0), (1.0, 0.05)}
    assert corrected["backbone.cls_token"] == corrected["backbone.pos_embed"] == (pytest.approx(0.95**41), 0.0)
    assert {".".join(name.split(".")[:2]) for name in different} == {
        "backbone.cls_token",
        "backbone.pos_embed",
        *(f"decode_head.{part}" for part in ("cls_embed", "level_embed", "mask_embed", "query_embed", "query_feat")),
    }


class WithBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = VisionTransformer(img_size=28, embed_dim=8, depth=2, num_heads=2)
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])
        self.scale = nn.Parameter(torch.zeros(()))


def test_only_the_backbone_has_layers():
    with torch.device("meta"):
        model = WithBackbone()
    found = describe(model, layer_decay_groups(model, 1.0, 0.1, 0.5))
    assert found["backbone.pos_embed"] == (0.125, 0.0)
    assert found["backbone.patch_embed.proj.weight"] == (0.125, 0.1)
    assert found["backbone.blocks.1.mlp.fc1.weight"] == (0.5, 0.1)
    assert found["backbone.norm.weight"] == found["scale"] == (1.0, 0.0)
    assert found["blocks.0.weight"] == (1.0, 0.1)


def test_frozen_parameters_are_left_out_and_count_as_layers():
    model = VisionTransformer(img_size=28, embed_dim=8, depth=3, num_heads=2)
    model.blocks[2].requires_grad_(False)
    model.patch_embed.requires_grad_(False)
    found = describe(model, layer_decay_groups(model, 1.0, 0.1, 0.5))
    assert set(found) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert found["blocks.1.norm1.bias"] == (0.25, 0.0)


def test_mask_token_and_biases_of_any_shape():
    model = VisionTransformer(img_size=28, embed_dim=8, depth=1, num_heads=2)
    model.mask_token = nn.Parameter(torch.zeros(1, 1, 8))
    model.adapter = nn.ParameterDict({"bias": torch.zeros(2, 2), "table": torch.zeros(2, 2)})
    found = describe(model, layer_decay_groups(model, 1.0, 0.1, 0.5))
    assert found["mask_token"] == (0.25, 0.1)
    assert found["adapter.bias"] == (1.0, 0.0)
    assert found["adapter.table"] == (1.0, 0.1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"decay_rate": 1.5}, "decay_rate=1.5 is out of range"),
        ({"decay_rate": 0.0}, "decay_rate=0.0 is out of range"),
        ({"decay_rate": 0.9, "rule": published_grouping()}, r"needs parameters backbone\.blocks\.0"),
    ],
)
def test_unusable_settings_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        layer_decay_groups(nn.Linear(2, 2), 1.0, 0.1, **options)


def test_groups_of_a_recipe_follow_its_learning_rate_and_weight_decay():
    recipe = LazyCall(torch.optim.AdamW)(
        params=LazyCall(layer_decay_groups)(base_lr="${..lr}", weight_decay="${..weight_decay}", decay_rate=0.5),
        lr=1e-3,
        weight_decay=0.05,
    )
    cfg = OmegaConf.create({"optimizer": recipe}, flags={"allow_objects": True})
    cfg.optimizer.lr, cfg.optimizer.weight_decay = 1.0, 0.2
    optimizer = build_optimizer(cfg, VisionTransformer(img_size=28, embed_dim=8, depth=1, num_heads=2))
    settings = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert settings == [(0.25, 0.0), (0.25, 0.2), (0.5, 0.0), (0.5, 0.2), (1.0, 0.0)]
