"""State of all random generators of a process, as plain values that checkpoints can contain."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """Return the state of the generators of Python, NumPy, torch and, if CUDA is in use, the current CUDA device."""
    version, numbers, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    state = {
        # As tensors: torch.load(weights_only=True) refuses NumPy arrays, and a tuple of 625 numbers would be large.
        "python": {"version": version, "numbers": torch.tensor(numbers), "gauss": gauss},
        "numpy": {
            "kind": numpy["bit_generator"],
            "keys": torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
            "position": numpy["state"]["pos"],
            "has_gauss": numpy["has_gauss"],
            "cached": numpy["gauss"],
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restore a state of :func:`get_random_state`."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["numbers"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state((numpy["kind"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the random state at the end of the context, so that numbers drawn inside do not change later ones."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)
