"""Initial weights for training: both towers from separate files, or a random initialization of both."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_backbone.rotary import TABLE_NAME
from eva_classification.heads import LINEAR_STD

from .clip import Clip
from .image_tower import VISUAL, has_vit
from .models import build_model

_TEXT = "text."
_TEXT_ENTRIES = ("positional_embedding", "token_embedding.weight", "transformer.resblocks.", "ln_final.")
# Trained for another embedding space or task: projections, the head of masked image modelling, and the mask token.
_LEFT_OUT = ("head.", "lm_head.", "mask_token")
_CLASSIFIER = ("head.", "fc_norm.")


def join_tower_weights(image_weights: Mapping[str, Tensor], text_weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Combine the weights of an image tower and of a text tower into one state dict for `Clip`.

    The projections of both towers and the logit scale are left out: the pretrained ones lead to another embedding
    space. They start at random, as does everything else that neither file has, such as the norms inside of EVA-02's
    attention. Tables of rotary positions are left out too, since they are computed.

    Args:
        image_weights: State dict of a bare EVA ViT, such as that of masked image modelling (eva_psz14.pt), or of an
            EVA-CLIP model, whose image tower is used.
        text_weights: State dict of a CLIP of OpenAI or of open_clip with a text tower of the model's width
            (ViT-L-14.pt), or of an EVA-CLIP model. OpenAI's weights were trained with another activation (QuickGELU);
            training adapts them.

    Raises:
        InputError: One of the state dicts does not have its tower.
    """
    image_tower = _find_image_tower(image_weights)
    if not has_vit(image_tower, VISUAL):
        raise InputError(
            f"the weights for the image tower have names such as {_first_name(image_weights)}; give an EVA ViT with "
            "blocks.0.attn.qkv.weight or blocks.0.attn.q_proj.weight, such as eva_psz14.pt."
        )
    classifier = next((name for name in image_weights if name.startswith(_CLASSIFIER)), None)
    if classifier is not None:
        raise InputError(
            f"the weights for the image tower have {classifier}, as classifiers have, which is not the projection of a "
            "CLIP; give a pre-trained EVA ViT, such as eva_psz14.pt, or an EVA-CLIP model."
        )
    text_tower = _find_text_tower(text_weights)
    if (
        f"{_TEXT}transformer.resblocks.0.attn.in_proj_weight" not in text_tower
        or f"{_TEXT}ln_final.weight" not in text_tower
    ):
        raise InputError(
            f"the weights for the text tower have names such as {_first_name(text_weights)}; give OpenAI's CLIP with "
            "transformer.resblocks.0.attn.in_proj_weight, such as ViT-L-14.pt."
        )
    return {**image_tower, **text_tower}


def build_model_from_scratch(name: str, **options: Any) -> Clip:
    """Build a model for training without pretrained weights; the arguments are those of `build_model`.

    `build_model` initializes the projection of the image tower close to zero, as the original release does, which suits
    a pretrained tower. From scratch the first updates would then map all images to the same embedding, and training
    would take long to recover. Here the projection has the usual standard deviation of a linear head.
    """
    model = build_model(name, **options)
    nn.init.trunc_normal_(model.visual.get_parameter("head.weight"), std=LINEAR_STD)
    return model


def _find_image_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of the image tower under the names of `Clip`."""
    prefix = VISUAL if has_vit(weights, VISUAL) else ""
    tower = {}
    for name, value in weights.items():
        bare_name = name.removeprefix(prefix)
        if name.startswith(prefix) and not bare_name.startswith(_LEFT_OUT) and not TABLE_NAME.search(name):
            tower[VISUAL + bare_name] = value
    return tower


def _find_text_tower(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of the text tower under the names of `Clip`, without projection and logit scale."""
    prefix = _TEXT if f"{_TEXT}token_embedding.weight" in weights else ""
    tower = {}
    for name, value in weights.items():
        bare_name = name.removeprefix(prefix)
        if bare_name.startswith(_TEXT_ENTRIES):
            tower[_TEXT + bare_name] = value
    return tower


def _first_name(weights: Mapping[str, Tensor]) -> str:
    """Return the name of an entry, for an error message."""
    for name in weights:
        return name
    return "(none)"
