"""Parameter groups of classification, masked image modelling and video, for models with only parameter names."""

import torch
from torch import nn

from eva_backbone import VisionTransformer
from eva_classification import Classifier
from eva_classification.mim import MaskedImageModel
from eva_engine.training.optimization import layer_decay_groups

from ..case import GoldenCase, family
from .classification_backbone import named_options


def build_on_meta(names: set[str]) -> VisionTransformer:
    """Build a model with the parameters `names` on the meta device."""
    depth = 1 + max(int(name.split(".")[1]) for name in names if name.startswith("blocks."))
    options = {"depth": depth, **named_options(names)}
    with torch.device("meta"):
        if "mask_token" in names:
            model = MaskedImageModel(**options)
        else:
            model = Classifier(1000, pooling="class" if "norm.weight" in names else "mean", **options)
    assert {name for name, _ in model.named_parameters()} == names
    return model


def find_groups(model: nn.Module, scales: set[float], weight_decay: float) -> list[tuple]:
    """Return (scale, weight decay, names) of every group; the decay rate is the largest scale below 1."""
    rate = max((scale for scale in scales if scale < 1), default=1.0)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = layer_decay_groups(model, base_lr=1.0, weight_decay=weight_decay, decay_rate=rate)
    return [(g["lr"], g["weight_decay"], [name_of[id(p)] for p in g["params"]]) for g in groups]


@family("param_groups")
def check_classification_groups(case: GoldenCase) -> None:
    for recipe, expected in case.spec.items():
        rows = expected["parameters"]
        model = build_on_meta({name for name, *_ in rows})
        assert model.depth == expected["num_layers"]
        scales, decays = {row[2] for row in rows}, {row[3] for row in rows}
        found = find_groups(model, scales, max(decays))
        sizes = [{"weight_decay": decay, "lr_scale": scale, "n": len(names)} for scale, decay, names in found]
        assert sizes == expected["groups"], recipe
        assert [(name, scale, decay) for scale, decay, names in found for name in names] == [
            (name, scale, decay) for name, _, scale, decay in rows
        ], recipe


def check_video_groups(case: GoldenCase) -> None:
    for recipe, groups in case.spec["groups"].items():
        expected = [(group["lr_scale"], group["weight_decay"], group["names"]) for group in groups]
        model = build_on_meta({name for *_, names in expected for name in names})
        scales, decays = {scale for scale, *_ in expected}, {decay for _, decay, _ in expected}
        assert find_groups(model, scales, max(decays)) == expected, recipe
