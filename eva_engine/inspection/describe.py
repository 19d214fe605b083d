"""A model in words, read off the names and shapes of its weights."""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from eva_engine.checkpoint.load_report import describe_weights

_PRETRAINING = "MaskedImageModel"
_TASKS = {
    "Classifier": "image classifier",
    _PRETRAINING: "masked image modelling (pre-training)",
    "Clip": "EVA-CLIP, images and texts",
    "VideoClassifier": "video classifier",
    "Segmenter": "semantic segmentation with ViT-Adapter and Mask2Former",
    "GeneralizedRCNN": "object detector",
}


def predicts(model: nn.Module) -> bool:
    """Whether the model has something to say about pictures or videos; that of pre-training has not."""
    return type(model).__name__ != _PRETRAINING


def describe_model(weights: Mapping[str, Tensor], model: nn.Module | None) -> str:
    """Task, backbone, resolution, classes, decoder: as far as the entries tell.

    model: the one that the weights are of, for its task; None: not known.
    """
    task = None if model is None else _TASKS.get(type(model).__name__, type(model).__name__)
    masks = "with masks" if any(".mask_head." in name for name in weights) else None
    boxes = "boxes only" if task == _TASKS["GeneralizedRCNN"] and masks is None else masks
    facts = [task, boxes, describe_weights(weights), *(fact(weights) for fact in _FACTS)]
    return ", ".join(fact for fact in facts if fact)


def _positions(weights: Mapping[str, Tensor]) -> str | None:
    table, kernel = _find(weights, r"(.*\.)?pos_embed"), _find(weights, r"(.*\.)?patch_embed\.proj\.weight")
    if table is None or kernel is None or table.ndim != 3 or kernel.ndim not in (4, 5):
        return None
    patch, length = kernel.shape[-1], table.shape[1]
    if kernel.ndim == 5:
        return f"{length - 1} space-time positions, tubes of {kernel.shape[2]} frames"
    for slots in (1, 0):
        side = math.isqrt(max(length - slots, 0))
        if side and side * side == length - slots:
            return f"positions for {side * patch} px ({side} x {side} patches)"
    return f"{length} positions"


def _relative(weights: Mapping[str, Tensor]) -> str | None:
    if any(name.endswith(".relative_position_bias_table") for name in weights):
        return "joint relative positions"
    kernel = _find(weights, r"(.*\.)?patch_embed\.proj\.weight")
    lengths = [len(value) for name, value in weights.items() if name.endswith(".rel_pos_h") and value.ndim == 2]
    if not lengths or kernel is None:
        return None
    return f"decomposed relative positions for {(max(lengths) + 1) // 2 * kernel.shape[-1]} px"


def _classes(weights: Mapping[str, Tensor]) -> str | None:
    for pattern, extra in (
        (r"(backbone\.)?head\.(\d+\.)?weight", 0),
        (r"roi_heads\.box_predictor(\.0)?\.cls_score\.weight", 1),
        (r"decode_head\.cls_embed\.weight", 1),
    ):
        head = _find(weights, pattern)
        if head is not None and head.ndim == 2:
            return f"{len(head) - extra} classes"
    return None


def _decoder(weights: Mapping[str, Tensor]) -> str | None:
    depth, queries = _depth(weights, r".*transformer_decoder\.layers"), _find(weights, r".*query_embed\.weight")
    return f"{depth} decoder layers" + (f", {len(queries)} queries" if queries is not None else "") if depth else None


def _text_tower(weights: Mapping[str, Tensor]) -> str | None:
    positions = _find(weights, r"(text\.)?positional_embedding")
    depth = _depth(weights, r"(text\.)?transformer\.resblocks")
    if positions is None or positions.ndim != 2 or not depth or _find(weights, r".*token_embedding\.weight") is None:
        return None
    return f"text tower of width {positions.shape[1]}, depth {depth}, {positions.shape[0]} tokens"


def _target(weights: Mapping[str, Tensor]) -> str | None:
    head = _find(weights, r"lm_head\.weight")
    return None if head is None or head.ndim != 2 else f"predicts {len(head)} features a patch"


_FACTS: tuple[Callable[[Mapping[str, Tensor]], str | None], ...] = (
    _positions,
    _relative,
    _classes,
    _decoder,
    _text_tower,
    _target,
)


def _find(weights: Mapping[str, Tensor], pattern: str) -> Tensor | None:
    return next((value for name, value in weights.items() if re.fullmatch(pattern, name) and value.ndim), None)


def _depth(weights: Mapping[str, Tensor], pattern: str) -> int:
    matches = (re.match(rf"{pattern}\.(\d+)\.", name) for name in weights)
    return 1 + max((int(match.groups()[-1]) for match in matches if match), default=-1)
