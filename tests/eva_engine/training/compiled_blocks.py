"""Backends of the tests with compiled blocks, which mostly run without a C++ compiler."""

from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from eva_backbone.errors import InputError
from eva_engine import compilation


def count_compilations(monkeypatch):
    """Use a backend that traces forward and backward pass and runs them as they are; return its count of programs."""
    seen = SimpleNamespace(count=0)

    def backend(program, inputs):
        seen.count += 1
        return aot_eager(program, inputs)

    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", backend)
    return seen


def require_compiler():
    """Skip the test on a machine without a C++ compiler."""
    try:
        compilation.check_compiler("cpu", "this test")
    except InputError as error:
        pytest.skip(str(error))
