"""Where training starts from: an image tower from one file, a text tower from another; or random weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_classification.heads import LINEAR_STD

from .clip import Clip
from .image_tower import VISUAL
from .models import build_model

_TEXT = "text."
_TEXT_ENTRIES = ("positional_embedding", "token_embedding.weight", "transformer.resblocks.", "ln_final.")
# Made for another space or task: the heads of pre-training and of classifiers, the token of hidden patches.
_LEFT_OUT = ("head.", "lm_head.", "mask_token", "fc_norm.")


def join_towers(image: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of both towers under the names of `Clip`; what is new to it stays out.

    That is the projections of both towers, which lead to another space, and the scale of the logits. They begin at
    random, as does whatever else the model has beyond the files.

    Args:
        image: a bare EVA ViT, such as the one of masked image modelling (eva_psz14.pt), or an EVA-CLIP's image tower.
        text: OpenAI's CLIP with a text tower of the model's width (ViT-L-14.pt), or an EVA-CLIP. OpenAI's weights were
            trained with another activation than this model has (its `quick_gelu`); training adapts them.

    Raises:
        InputError: no image tower or no text tower where one should be.
    """
    prefix = VISUAL if f"{VISUAL}blocks.0.attn.qkv.weight" in image else ""
    tower = {
        VISUAL + name.removeprefix(prefix): value
        for name, value in image.items()
        if name.startswith(prefix) and not name.removeprefix(prefix).startswith(_LEFT_OUT)
    }
    if f"{VISUAL}blocks.0.attn.qkv.weight" not in tower:
        raise InputError(
            f"the weights for the image tower have names such as {next(iter(image), '(none)')}; give an EVA ViT with "
            "blocks.0.attn.qkv.weight, such as eva_psz14.pt."
        )
    prefix = _TEXT if f"{_TEXT}token_embedding.weight" in text else ""
    texts = {
        _TEXT + name.removeprefix(prefix): value
        for name, value in text.items()
        if name.removeprefix(prefix).startswith(_TEXT_ENTRIES)
    }
    if f"{_TEXT}transformer.resblocks.0.attn.in_proj_weight" not in texts or f"{_TEXT}ln_final.weight" not in texts:
        raise InputError(
            f"the weights for the text tower have names such as {next(iter(text), '(none)')}; give OpenAI's CLIP with "
            "transformer.resblocks.0.attn.in_proj_weight, such as ViT-L-14.pt."
        )
    return {**tower, **texts}


def build_from_scratch(name: str, **options: Any) -> Clip:
    """`build_model` for training without initial weights.

    The published start of the image tower's projection is close to zero, which suits a tower that is trained already.
    From scratch its first updates would give all images one embedding, and training takes long to get away from there.
    """
    model = build_model(name, **options)
    nn.init.trunc_normal_(model.visual.get_parameter("head.weight"), std=LINEAR_STD)
    return model
