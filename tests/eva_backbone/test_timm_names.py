"""Names of EVA-02's parameters in timm and here."""

import timm
import torch

from eva_backbone import create_backbone
from eva_backbone.timm_names import from_timm_names, to_timm_names


def entries(weights):
    return [(name, tuple(value.shape)) for name, value in weights.items()]


def test_every_size_and_back():
    for size in ("tiny", "small", "base", "large", "enormous", "giant"):
        name = size if size == "giant" else f"eva02_{size}"
        with torch.device("meta"):
            weights = create_backbone(name, depth=2, patch_size=14, layer_scale=0.1).state_dict()
        renamed = to_timm_names(weights)
        assert entries(from_timm_names(renamed)) == entries(weights)
        assert entries(from_timm_names(weights)) == entries(weights)  # nothing is converted twice
        prefixed = {f"backbone.net.{name}": value for name, value in renamed.items()}
        assert list(from_timm_names(prefixed)) == [f"backbone.net.{name}" for name in weights]


def test_the_norm_in_attention_of_the_clip_towers():
    with torch.device("meta"):
        theirs = timm.create_model("eva02_base_patch16_clip_224", num_classes=0, depth=1, norm_layer=None).state_dict()
        ours = create_backbone("eva02_base", depth=1, patch_size=16, attention_norm=True).state_dict()
    named = from_timm_names(theirs)
    assert {name: value.shape for name, value in named.items()} == {name: value.shape for name, value in ours.items()}
    assert entries(to_timm_names(named)) == entries(theirs)


def test_a_plain_mlp_stays_one():
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1).state_dict()
    assert entries(from_timm_names(theirs)) == entries(theirs)
