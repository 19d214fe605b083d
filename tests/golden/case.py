"""A numerical case: outputs of the reference implementation for weights and inputs that its spec describes."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

Check = Callable[["GoldenCase"], None]
FAMILIES: dict[str, Check] = {}


@cache
def read_specs(path: Path) -> dict[str, dict[str, Any]]:
    """Read the specs of a folder whose cases share one file, by case name."""
    return json.loads(path.read_text())["cases"]


def family(*names: str) -> Callable[[Check], Check]:
    """Register a check for specs whose `kind` is one of `names`, or else whose case name starts with one of them."""

    def register(check: Check) -> Check:
        for name in names:
            if name in FAMILIES:
                raise ValueError(f"two checks are registered for the family {name!r}")
            FAMILIES[name] = check
        return check

    return register


@dataclass(frozen=True)
class GoldenCase:
    """A .npz file: `spec` describes how to rebuild weights and inputs, the other arrays are the expected values.

    The spec is in the file, or in a spec.json in the same folder, under the file's name; a spec.json also describes how
    its cases are drawn. A .json.gz file contains only a spec, with expected values that are not arrays.
    """

    path: Path

    @property
    def stem(self) -> str:
        return self.path.name.removesuffix(".npz").removesuffix(".json.gz")

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        if self.path.suffix == ".gz":
            return {}
        with np.load(self.path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def spec(self) -> dict[str, Any]:
        if self.path.suffix == ".gz":
            return json.loads(gzip.decompress(self.path.read_bytes()))
        if "spec" in self.arrays:
            return json.loads(str(self.arrays["spec"]))
        return read_specs(self.path.with_name("spec.json"))[self.stem]

    @property
    def name(self) -> str:
        return self.spec.get("case", self.stem)

    def tensor(self, name: str) -> torch.Tensor:
        """Return the expected array `name` as a tensor."""
        return torch.from_numpy(self.arrays[name])

    def find_check(self) -> Check:
        """Return the check of this case's family; an unknown family is an error, never a skip."""
        kind = self.spec.get("kind")
        if kind in FAMILIES:
            return FAMILIES[kind]
        prefixes = [prefix for prefix in FAMILIES if kind is None and self.name.startswith(prefix)]
        if prefixes:
            return FAMILIES[max(prefixes, key=len)]
        raise LookupError(f"{self.path}: no check for kind {kind!r}, case {self.name!r}; known: {sorted(FAMILIES)}")
