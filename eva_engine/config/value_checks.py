"""Check the values of a config before anything is built: keywords and their types, ranges of numbers, channels."""

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eva_backbone.errors import InputError

from .call_keywords import call_keywords, takes_any_keyword
from .train_settings import TRAIN_SETTINGS
from .trusted_names import import_name, import_path, join_key

TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a string"}
# Smallest and largest value of numbers, and of all numbers in a list, by the last part of their keys.
_RANGES = {
    (1, 1000): "depth num_layers num_heads encoder_layers decoder_layers deform_heads",
    (1, math.inf): (
        "batch_size text_batch_size patch_size img_size embed_dim num_frames num_clips num_crops context_length "
        "tubelet_size prefetch_factor max_iter log_period max_to_keep patience"
    ),
    (0, math.inf): (
        "lr visual_lr text_lr logit_scale_lr weight_decay clip_grad_norm num_workers eval_period period "
        "max_skipped_steps warmup_iters eps min_delta auto_batch lr_batch_size"
    ),
    (0, 1): (
        "dropout drop_path_rate label_smoothing test_score_thresh iou_threshold nms_thresh positive_fraction prob "
        "switch_prob re_prob momentum warmup_factor"
    ),
    (0, 1 - 1e-9): "betas",
    (1e-9, math.inf): "pixel_std std",
    (-1, 2**32 - 1): "seed",
}
_MAX_PARTS = 2_000  # values of a list in `model`, each of which may stand for a layer or a class
_RANGE_OF = {name: limits for limits, names in _RANGES.items() for name in names.split()}


def check_values(cfg: DictConfig) -> None:
    """Check the settings of `train` and the arguments of every call in a config.

    Raises:
        InputError: A `_target_` does not exist or does not take a keyword, or a value has the wrong type, is out of
            range, or is a mean or deviation for another number of channels.
    """
    _check_train_types(cfg.train, TRAIN_SETTINGS, "train")
    num_channels = OmegaConf.select(cfg, "model.backbone.net.in_chans", default=None) or 3
    for path, node in _groups(cfg, ""):
        types = _keywords(node, path) if "_target_" in node else None
        for name in map(str, node):
            if name == "_target_" or OmegaConf.is_missing(node, name):
                continue
            try:
                value = node[name]
            except OmegaConfBaseException:  # a reference to nothing, which matters only if it is used
                continue
            key = f"{path}.{name}"
            if types is not None and name in types:
                _check_type(key, value, types[name])
            _check_range(key, value)
            if isinstance(value, ListConfig) and key.startswith("model."):
                _check_number_of_parts(key, value)
            if name in ("pixel_mean", "pixel_std") and isinstance(value, ListConfig) and len(value) != num_channels:
                raise InputError(
                    f"{key} has {len(value)} numbers, but images have {num_channels} channels; give one for each"
                )


def is_of_type(value: Any, expected_type: type) -> bool:
    """Return whether a value can be passed where a bool, int, float or str is expected; an int is a float too."""
    if expected_type in (int, float):
        return isinstance(value, (int, expected_type)) and not isinstance(value, bool)
    return isinstance(value, expected_type)


def _groups(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    """Yield the calls of a config, `train` and the groups below it, each with its key, without following references."""
    if isinstance(node, DictConfig) and ("_target_" in node or f"{path}.".startswith("train.")):
        yield path, node
    keys: Iterable[Any] = node if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        if not OmegaConf.is_interpolation(node, key) and not OmegaConf.is_missing(node, key):
            child = node[key]
            if OmegaConf.is_config(child) and child is not None:
                yield from _groups(child, join_key(path, key))


def _keywords(node: DictConfig, path: str) -> dict[str, type | None] | None:
    """Return the keywords of a call with their types, after checking that it takes those of the config."""
    target = node["_target_"]
    if isinstance(target, str):
        target = import_name(target, f"{path}._target_")
    if not callable(target):
        raise InputError(f"{path}._target_={node['_target_']} cannot be called; give a class or function")
    keywords = call_keywords(target)
    unknown = [str(name) for name in node if name not in (keywords or ()) and name != "_target_"]
    if unknown and keywords is not None and not takes_any_keyword(target):
        raise InputError(
            f"{path} has {', '.join(unknown)}, which {import_path(target)} does not take; it takes "
            f"{', '.join(sorted(keywords or ()))}: give a recipe with these"
        )
    return keywords


def _check_number_of_parts(key: str, value: ListConfig) -> None:
    """Check how many values a list has, with those of the lists that its values are, contain or refer to."""
    try:
        number = _num_parts(OmegaConf.to_container(value, resolve=True))
    except OmegaConfBaseException:  # a reference to nothing, which matters only if it is used
        number = len(value)
    if number > _MAX_PARTS:
        raise InputError(f"{key} has {number:,} values, more than any model; give at most {_MAX_PARTS:,}")


def _num_parts(value: Any) -> int:
    if isinstance(value, list):
        return sum(max(1, _num_parts(part)) for part in value)
    if isinstance(value, dict):
        return sum(map(_num_parts, value.values()))
    return 0


def _check_train_types(settings: Any, defaults: dict[str, Any], path: str) -> None:
    if not isinstance(settings, DictConfig):
        raise InputError(
            f"{path} is {settings!r}, but must be a group with {', '.join(defaults)}; set the keys below it"
        )
    for name, default in defaults.items():
        if isinstance(default, dict):
            _check_train_types(settings[name], default, f"{path}.{name}")
        elif isinstance(default, list):
            if not isinstance(settings[name], ListConfig):
                raise InputError(f"{path}.{name} takes a list like [a,b], not {settings[name]!r}")
        else:
            _check_type(f"{path}.{name}", settings[name], type(default))


def _check_type(key: str, value: Any, expected_type: type | None) -> None:
    is_plain = not isinstance(value, DictConfig)  # a call may return any type
    if expected_type not in TYPE_NAMES or value is None or not is_plain or is_of_type(value, expected_type):
        return
    if expected_type is not str or not isinstance(value, ListConfig):  # a list of names is passed where one is expected
        raise InputError(f"{key} takes {TYPE_NAMES[expected_type]}, not {str(value)[:100]!r}")


def _check_range(key: str, value: Any) -> None:
    low, high = _RANGE_OF.get(key.rpartition(".")[2], (-math.inf, math.inf))
    for number in value if isinstance(value, ListConfig) else [value]:
        # Not math.isfinite, which fails for integers that are larger than any float.
        is_finite = isinstance(number, int | float) and abs(number) <= sys.float_info.max
        if isinstance(number, int | float) and not (is_finite and low <= number <= high):
            limits = f"from {low} to {high:g}" if math.isfinite(high) else f"of {low} or more"
            expected = limits if math.isfinite(low) else "that is finite"
            raise InputError(f"{key}={str(value)[:100]} is out of range; give a number {expected}")
