"""Weights are converted while they are loaded, and the memory of what was converted is given back."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from eva_engine.checkpoint import build_and_load, read_weights
from eva_engine.checkpoint.mapped_file import MappedFile
from eva_engine.inference_precision import InferencePrecision

BFLOAT16 = InferencePrecision(torch.bfloat16, torch.bfloat16)
WEIGHTS_ONLY = InferencePrecision(torch.bfloat16, torch.float32)
needs_linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")


class Model(nn.Module):
    float32_parts = ("table",)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 32)
        self.table = nn.Parameter(torch.zeros(7))


def resident_bytes(path: Path) -> int:
    """Return the memory of this process that maps a file."""
    total, is_file = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key = line.split(maxsplit=1)[0]
        if not key.endswith(":"):
            is_file = line.endswith(str(path))
        elif key == "Rss:" and is_file:
            total += 1024 * int(line.split()[1])
    return total


def write(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path


@pytest.mark.parametrize(
    ("precision", "low"), [(BFLOAT16, {"layer.weight", "layer.bias"}), (WEIGHTS_ONLY, {"layer.weight"})], ids=str
)
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_values_of_any_type(stored, precision, low, tmp_path):
    weights = {name: torch.randn(value.shape) for name, value in Model().state_dict().items()}
    path = write(tmp_path / "weights.pth", {name: value.to(stored) for name, value in weights.items()})
    model, _ = build_and_load(Model, path, complete=True, precision=precision)
    for name, value in model.state_dict().items():
        expected = weights[name].to(stored).to(torch.bfloat16 if name in low else torch.float32)
        assert value.dtype == expected.dtype
        assert torch.equal(value, expected), name


def test_values_that_the_file_does_not_have(tmp_path):
    path = write(tmp_path / "weights.pth", {"layer.weight": torch.ones(32, 64), "table": torch.ones(7)})
    model, report = build_and_load(Model, path, precision=BFLOAT16)
    assert report.missing == ["layer.bias"]
    assert model.layer.bias.dtype == torch.bfloat16
    assert 0 < model.layer.bias.abs().max() <= 1 / 8  # PyTorch's initialisation: uniform in 1 / sqrt(64)
    assert model.table.dtype == torch.float32


@needs_linux
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_pages_of_the_file_are_given_back(name, tmp_path):
    path = write(tmp_path / name, {"first": torch.ones(2**20), "second": torch.full((2**20,), 2.0)})
    weights = read_weights(path)
    assert weights["first"].sum() + weights["second"].sum() == 3 * 2**20
    both = resident_bytes(path)
    assert both >= 2 * 4 * 2**20
    file = MappedFile(path)
    file.forget(weights["first"])
    assert resident_bytes(path) <= both - 3 * 2**20
    assert weights["first"].sum() == 2**20  # read again
    file.forget(torch.ones(9))  # not in the file


@needs_linux
@pytest.mark.parametrize(("precision", "num_converted"), [(BFLOAT16, 8), (WEIGHTS_ONLY, 4)], ids=str)
def test_the_file_is_not_in_memory_after_its_values_were_converted(precision, num_converted, tmp_path, monkeypatch):
    sizes = []
    forget = MappedFile.forget

    def forget_and_measure(self: MappedFile, tensor: torch.Tensor) -> None:
        forget(self, tensor)
        sizes.append(resident_bytes(tmp_path / "weights.pth"))

    monkeypatch.setattr(MappedFile, "forget", forget_and_measure)
    layers = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(4)))
    path = write(tmp_path / "weights.pth", layers.state_dict())
    build_and_load(lambda: nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(4))), path, precision=precision)
    assert len(sizes) == num_converted
    assert max(sizes) < 2 * 4 * 2**20  # of 16 MiB
