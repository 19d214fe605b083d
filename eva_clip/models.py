"""Models by name: the published one and one that a laptop trains."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .clip import Clip
from .image_tower import ImageTower
from .text_transformer import TextTransformer
from .transforms import Transform, evaluation_transform, training_transform

MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA-CLIP: 1.14 billion parameters
        "eva_clip_g14": MappingProxyType(
            {
                "output_dim": 1024,
                "visual": MappingProxyType({**PRESETS["giant"], "img_size": 224, "patch_size": 14}),
                "text": MappingProxyType(
                    {"context_length": 77, "vocab_size": 49408, "width": 768, "num_heads": 12, "num_layers": 12}
                ),
            }
        ),
        "eva_clip_tiny": MappingProxyType(
            {
                "output_dim": 64,
                "visual": MappingProxyType({**PRESETS["tiny"], "img_size": 56, "patch_size": 14}),
                "text": MappingProxyType(
                    {"context_length": 32, "vocab_size": 49408, "width": 64, "num_heads": 2, "num_layers": 2}
                ),
            }
        ),
    }
)


def model_options(name: str) -> Mapping[str, Any]:
    """The entry of `MODELS`.

    Raises:
        InputError: no model of that name.
    """
    if name not in MODELS:
        raise InputError(f"{name!r} is no model of this package; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def build_model(
    name: str,
    *,
    output_dim: int | None = None,
    visual: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    max_logit_scale: float | None = None,
) -> Clip:
    """Build a model with random weights.

    Args:
        name: key of `MODELS`.
        output_dim: width of the shared space.
        visual: further arguments of `ImageTower`, as in {"img_size": 336}.
        text: further arguments of `TextTransformer`.
        max_logit_scale: see `Clip`.

    Raises:
        InputError: no model of that name.
    """
    options = model_options(name)
    output_dim = options["output_dim"] if output_dim is None else output_dim
    return Clip(
        ImageTower(output_dim, **{**options["visual"], **(visual or {})}),
        TextTransformer(output_dim, **{**options["text"], **(text or {})}),
        max_logit_scale,
    )


def create_model(
    name: str = "eva_clip_g14",
    weights: str | os.PathLike | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
    **overrides: Any,
) -> Clip:
    """A model in evaluation mode, with the weights of a file or random ones.

    Args:
        name: key of `MODELS`.
        weights: file of this layout, such as eva_clip_psz14.pt or a checkpoint of a run, or of open_clip's. Positions
            are resized to another image size.
        device: where it goes.
        dtype: of its parameters; float16 and bfloat16 halve its memory. A file of the same type is mapped, not copied.
        strict: refuse a file that has other entries than the model; else what is missing is random.
        overrides: see `build_model`.

    Raises:
        InputError: no model of that name; a file that is unreadable or of another model.
    """
    if weights is None:
        return build_model(name, **overrides).to(device, dtype).eval()
    from eva_engine.checkpoint.loading import build_and_load  # needed for files only

    def build() -> Clip:
        with _default_dtype(dtype):
            return build_model(name, **overrides)

    model, report = build_and_load(build, weights)
    wrong = [*report.missing, *report.unused, *(change.name for change in report.skipped)]
    if strict and wrong:
        raise InputError(
            f"{report.summary()}: {wrong[0]} does not fit {name}; give the weights of this model, its options, or "
            "strict=False to use what fits."
        )
    return model.to(device).eval()


def create_model_and_transforms(
    name: str = "eva_clip_g14", weights: str | os.PathLike | None = None, **options: Any
) -> tuple[Clip, Transform, Transform]:
    """The model of `create_model`, the transform of images for training, and that for evaluation."""
    model = create_model(name, weights, **options)
    size = model.visual.pos_grid[-1] * model.visual.patch_size
    return model, training_transform(size), evaluation_transform(size)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
