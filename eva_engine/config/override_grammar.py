"""The grammar of overrides such as `train.max_iter=100`, which is Hydra's; needs neither PyTorch nor a recipe."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from eva_backbone.errors import InputError


def parse_override(text: str) -> tuple[str, Any]:
    """Return the key and the value of an override.

    Raises:
        InputError: It is not of the form `key=value`, or sets several values.
    """
    if text.startswith("--"):
        raise InputError(f"{text} follows the overrides; put options with -- before the first key=value")
    try:
        override = OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        key, equals, value = text.partition("=")
        advice = f"""quote the value: '{key}="{value}"'""" if equals else "write key=value"
        raise InputError(f"the override {text} cannot be parsed; {advice}") from error
    if override.is_delete() or override.is_sweep_override():
        raise InputError(f"the override {text} must set one key to one value; write key=value, or key=[a,b] for a list")
    return override.key_or_group, override.value()


def target_values(overrides: Sequence[str]) -> list[str]:
    """Return the names of classes and functions that overrides set, which the user therefore trusts."""
    return [str(value) for key, value in map(parse_override, overrides) if key.endswith("_target_")]


def override_value(overrides: Sequence[str], key: str) -> Any:
    """Return the value that the last override of `key` sets; None if there is none."""
    values = [value for name, value in map(parse_override, overrides) if name == key]
    return values[-1] if values else None
