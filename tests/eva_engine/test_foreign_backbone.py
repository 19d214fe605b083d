"""Backbones of other projects get all that an EVA backbone gets, or a sentence why not."""

from functools import partial
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule

from benchmarks.plan_memory import LIMIT, measure, predict
from detectron2_ext.modeling.timm_vit import TimmViT
from eva_backbone.errors import InputError
from eva_engine.backbones import find_backbones
from eva_engine.config import TRAIN_SETTINGS, load_config
from eva_engine.training.adaptation import adapt_model
from eva_engine.training.distributed import launch, parallelize
from eva_engine.training.optimization import build_optimizer, layer_decay_groups
from tests.eva_engine.foreign_backbone.sam_vit import SamViT

RECIPE = "tests/eva_engine/foreign_backbone/mask_rcnn_sam.py"
# The packaged recipe for plain ViTs of timm, small.
TIMM_RECIPE = "projects/ViTDet/configs/timm/cascade_mask_rcnn_timm_vit.py"
TIMM_OVERRIDES = [
    "model.backbone.net.name=vit_tiny_patch16_224",
    "model.backbone.square_pad=256",
    "model.roi_heads.batch_size_per_image=16",
    *(f"model.roi_heads.box_heads.{stage}.conv_dims=[]" for stage in range(3)),
    "dataloader.train.total_batch_size=1",
    "train.device=cpu",
    "train.amp.enabled=False",
]
LORA = {"rank": 2, "targets": r".*blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"}
DEPTH = 4


SMALL = {"depth": DEPTH, "embed_dim": 48, "num_heads": 3, "img_size": 64}
BACKBONES = {
    "a wrapper": partial(SamViT, "samvit_base_patch16", **SMALL),
    "a plain ViT": partial(TimmViT, "vit_tiny_patch16_224", **SMALL),
    "windows": partial(TimmViT, "vit_small_patch16_dinov3", **SMALL, window_size=2, num_global_blocks=2),
}


class SmallModel(nn.Module):
    """A backbone with a head, as cheap as a step of it can be."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        self.head = nn.Conv2d(48, 3, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(pixels)["last_feat"]).square().mean()


def make_model(backbone: str) -> SmallModel:
    torch.manual_seed(0)
    return SmallModel(backbone)


with_backbones = pytest.mark.parametrize("backbone", BACKBONES)


def make_pixels() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(make_pixels()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def settings(**changes):
    return OmegaConf.merge(TRAIN_SETTINGS, {"device": "cpu"}, changes)


@with_backbones
def test_the_blocks_are_found(backbone):
    assert [name for name, _ in find_backbones(make_model(backbone))] == ["backbone.vit"]


@with_backbones
def test_activations_are_checkpointed_and_gradients_stay(backbone):
    model = make_model(backbone)
    expected = gradients(model)
    calls = []
    for block in model.backbone.vit.blocks:
        block.attn.register_forward_hook(lambda *_: calls.append(1))
    adapt_model(model, settings(activation_checkpointing="torch"))
    found = gradients(model)
    assert len(calls) == 2 * DEPTH  # the backward pass runs each block again
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], msg=name)


@with_backbones
def test_low_rank_layers_freeze_the_rest_of_the_backbone(backbone):
    model = make_model(backbone)
    adapt_model(model, settings(lora=LORA))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if name.startswith("backbone.")} == {name for name in trained if "lora_" in name}
    assert len([name for name in trained if "lora_" in name]) == DEPTH * 4 * 2
    assert {"head.weight", "head.bias"} <= trained


def test_layers_learn_at_decreasing_rates():
    cfg = load_config(RECIPE)
    with torch.device("meta"):
        model = instantiate(cfg.model)
    optimizer = build_optimizer(cfg, model)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    rate_of = {name_of[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    base = cfg.optimizer.lr
    for number in range(DEPTH):
        expected = base * 0.7 ** (DEPTH - number)
        assert rate_of[f"backbone.net.vit.blocks.{number}.mlp.fc1.weight"] == pytest.approx(expected)
    assert rate_of["backbone.net.vit.patch_embed.proj.weight"] == pytest.approx(base * 0.7 ** (DEPTH + 1))
    # the groups of the other tasks read the layers from the backbone itself
    groups = layer_decay_groups(make_model("a wrapper"), 1.0, 0.1, 0.5)
    assert sorted({group["lr"] for group in groups}) == [0.5**power for power in range(DEPTH + 1, -1, -1)]


def test_a_layer_decay_for_fewer_blocks_is_refused():
    cfg = load_config(RECIPE, ["optimizer.params.lr_factor_func.num_layers=2"])
    with torch.device("meta"):
        model = instantiate(cfg.model)
    with pytest.raises(InputError, match=r"for 2 blocks .* the model has 4 in backbone\.net\.vit; set .*num_layers=4"):
        build_optimizer(cfg, model)


def shard(output: str, backbone: str) -> None:
    torch.set_num_threads(1)
    model = make_model(backbone)
    called = parallelize(model, settings(parallel="fsdp"))
    sharded = [isinstance(block, FSDPModule) for block in model.backbone.vit.blocks]
    called(make_pixels()).backward()
    full = {name: parameter.grad.full_tensor() for name, parameter in model.named_parameters()}
    names = list(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    if torch.distributed.get_rank() == 0:
        torch.save({"sharded": sharded, "gradients": full, "names": names}, output)


@with_backbones
def test_blocks_are_sharded_over_two_processes(tmp_path: Path, backbone):
    launch(shard, (str(tmp_path / "out.pt"), backbone), processes_per_machine=2, dist_url="auto", device="cpu")
    found = torch.load(tmp_path / "out.pt")
    assert found["sharded"] == [True] * DEPTH
    expected = gradients(make_model(backbone))
    assert found["gradients"].keys() == expected.keys()
    for name, value in found["gradients"].items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize(("recipe", "overrides"), [(RECIPE, []), (TIMM_RECIPE, TIMM_OVERRIDES)])
def test_memory_is_planned_within_the_usual_limit(recipe, overrides):
    overrides = [*overrides, "train.activation_checkpointing=torch"]
    predicted, (measured,) = predict(recipe, overrides), measure([(recipe, overrides)])
    assert abs(predicted / measured - 1) < LIMIT


class Opaque(nn.Module):
    """A model whose blocks nobody can find."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"activation_checkpointing": "torch"}, "train.activation_checkpointing=torch"),
        ({"lora": {"rank": 2, "targets": ".*layers.*"}}, "train.lora.rank=2"),
    ],
)
def test_models_without_blocks_are_refused(changes, setting):
    with pytest.raises(InputError, match=f"^{setting} works on transformer blocks, and no part of Opaque lists them"):
        adapt_model(Opaque(), settings(**changes))


def test_sharding_without_blocks_is_refused():
    with pytest.raises(InputError, match=r"^train\.parallel=fsdp works on transformer blocks"):
        parallelize(Opaque(), settings(parallel="fsdp"))
    torch.distributed.destroy_process_group()
