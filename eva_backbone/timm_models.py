"""The plain ViTs of timm by name: which models those are, their pixel statistics, and how they are built."""

import difflib
import logging
from collections.abc import Sequence
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models import split_model_name_tag
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from .deferred_init import is_deferring
from .errors import InputError, check_choice

logger = logging.getLogger(__name__)

PATCH_SIZE = 16
PlainViT = VisionTransformer | Eva | Beit


def pixel_mean(name: str, channel_order: str = "RGB") -> list[float]:
    """Return the mean of each channel, in 0..255, that the weights `name` of timm were trained with.

    Args:
        name: Name of a model of timm, with or without the tag of its weights.
        channel_order: Order of the channels, "RGB" or "BGR".

    Raises:
        InputError: The name or the order is unknown.
    """
    return _pixel_values(_pretrained_cfg(name).mean, channel_order)


def pixel_std(name: str, channel_order: str = "RGB") -> list[float]:
    """Return the standard deviation of each channel, in 0..255; see `pixel_mean`."""
    return _pixel_values(_pretrained_cfg(name).std, channel_order)


def token_width(name: str) -> int:
    """Return the token width, C, of a plain ViT of timm."""
    return _on_meta(name, {}).embed_dim


def create_plain_vit(name: str, img_size: tuple[int, int], *, pretrained: bool = False, **options: Any) -> PlainViT:
    """Build a plain ViT of timm with patches of 16 x 16 pixels, without its final norm, pooling and head.

    Position tables keep the size of pre-training, so that weight files fit, and are resampled for each image, as timm
    does. Models with tables of relative positions (BEiT) are built for `img_size` instead. A patch kernel of another
    size than 16 is resampled when weights are loaded, by timm's pseudo-inverse of resizing (FlexiViT): the embedding of
    an image then equals that of the image at 16 pixels per former patch.

    Args:
        name: Name of the model, with or without the tag of its weights.
        img_size: (height, width) in pixels, used by models that are built for one size.
        pretrained: Let timm load the weights, from its cache or from the Hugging Face Hub. Ignored if weights are
            assigned afterwards (`deferred_init`), and on the meta device.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate` or `depth`.

    Raises:
        InputError: An unknown name, another kind of model, or weights that do not exist or cannot be downloaded.
    """
    if options.get("patch_drop_rate"):
        raise InputError("feature maps need all patches, which patch_drop_rate drops; leave it out.")
    original = _on_meta(name, options)
    patch = original.patch_embed.patch_size
    if isinstance(original, Beit):
        options = {**options, "img_size": img_size}
    else:
        grid = original.patch_embed.grid_size
        # The same table of positions for another patch size.
        options = {**options, "img_size": tuple(PATCH_SIZE * side for side in grid), "dynamic_img_size": True}
    if patch != (PATCH_SIZE, PATCH_SIZE):
        options["patch_size"] = PATCH_SIZE
        logger.info(
            "%s has patches of %d x %d pixels: its patch kernel is resampled to %d x %d (pseudo-inverse of resizing)",
            name,
            *patch,
            PATCH_SIZE,
            PATCH_SIZE,
        )
    load = pretrained and not is_deferring() and torch.get_default_device().type != "meta"
    vit: Any = _load(name, options) if load else timm.create_model(name, num_classes=0, **options)
    vit.prune_intermediate_layers(1, prune_norm=True, prune_head=True)  # keeps all blocks: the last one is wanted
    module: Any
    for module in vit.modules():
        if hasattr(module, "qkv_bias_separate"):
            # Call the layer `qkv` instead of reading its weight, which would bypass the adapters of LoRA.
            module.qkv_bias_separate = True
    return vit


def _load(name: str, options: dict[str, Any]) -> nn.Module:
    if not _pretrained_cfg(name).has_weights:
        raise InputError(f"timm has no weights for {name}; choose one of {_tags(name)}, or leave pretrained out.")
    try:
        return timm.create_model(name, pretrained=True, num_classes=0, **options)
    except OSError as error:  # the errors of the Hub's client are subclasses
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(
            f"the weights of {name} cannot be downloaded ({reason}); download them elsewhere, leave pretrained out "
            "and give the file as train.init_checkpoint."
        ) from error


def _on_meta(name: str, options: dict[str, Any]) -> PlainViT:
    """Build the model without memory, to see what it is.

    Raises:
        InputError: The name is unknown, or not that of a plain ViT, or the options are not those of the model.
    """
    _pretrained_cfg(name)
    try:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=0, **options)
    except TypeError as error:
        raise InputError(
            f"timm's {name} does not accept the arguments {', '.join(options)} ({error}); leave out what it does not "
            "have, or choose another plain ViT."
        ) from error
    # A class such as `VisionTransformer` may also follow a convolutional network (`HybridEmbed`).
    if not isinstance(model, PlainViT) or type(model.patch_embed) is not PatchEmbed:
        kind = type(model).__name__
        if isinstance(model, PlainViT):
            kind += f" with {type(model.patch_embed).__name__}"
        raise InputError(
            f"{name} is not a plain ViT (it is timm's {kind}), which has one grid of patches through all blocks; "
            "choose a model such as vit_small_patch16_dinov3, vit_base_patch14_dinov2 or vit_base_patch16_siglip_256."
        )
    return model


def _pretrained_cfg(name: str) -> Any:
    """Return timm's description of the weights `name`.

    Raises:
        InputError: timm has no model of this name, or no weights with this tag.
    """
    architecture, tag = split_model_name_tag(name)
    if not timm.is_model(architecture):
        similar = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        advice = f"similar names are {', '.join(similar)}" if similar else "timm.list_models() returns the names"
        raise InputError(f"timm has no model {name!r}; {advice}.")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise InputError(f"timm has no weights {tag!r} of {architecture}; choose one of {_tags(name)}.") from error


def _tags(name: str) -> str:
    architecture, _ = split_model_name_tag(name)
    return ", ".join(timm.list_models(f"{architecture}.*", pretrained=True)) or f"{architecture} without a tag"


def _pixel_values(values: Sequence[float], channel_order: str) -> list[float]:
    check_choice("channel_order", channel_order, ("RGB", "BGR"))
    # timm's images have values 0..1 and channels in RGB order.
    scaled = [255 * value for value in values]
    return scaled if channel_order == "RGB" else scaled[::-1]
