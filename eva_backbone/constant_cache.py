"""A cache of constant tensors that is safe while PyTorch traces a program."""

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

Make = TypeVar("Make", bound=Callable[..., Any])


def cached_constant(maxsize: int) -> Callable[[Make], Make]:
    """Cache the `maxsize` most recently used results of a function that returns constant tensors.

    Constants are made outside of inference mode, since autograd does not save tensors of inference mode for a later
    training step. The cache is bypassed while a program is traced (`torch.compile`, `torch.export`) or run with fake
    tensors: tensors made then have no values, and would be returned to all later calls.
    """

    def decorate(make: Make) -> Make:
        @lru_cache(maxsize)
        def kept(*key: Hashable) -> Any:
            with torch.inference_mode(False):
                return make(*key)

        @wraps(make)
        def look_up(*key: Hashable) -> Any:
            if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
                return make(*key)
            return kept(*key)

        return cast(Make, look_up)

    return decorate
