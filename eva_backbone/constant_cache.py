"""Constant tensors that are made once, except while PyTorch traces."""

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

Make = TypeVar("Make", bound=Callable[..., Any])


def cached_constant(maxsize: int) -> Callable[[Make], Make]:
    """Keep the `maxsize` latest results of a function that makes constant tensors.

    While a program is traced (`torch.compile`, `torch.export`) or run with fake tensors, nothing is kept or taken:
    tensors made then hold no values, and would be found by every later call.
    """

    def decorate(make: Make) -> Make:
        kept = lru_cache(maxsize)(make)

        @wraps(make)
        def look_up(*key: Hashable) -> Any:
            if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
                return make(*key)
            return kept(*key)

        return cast(Make, look_up)

    return decorate
