"""Weights for other libraries: what every one of them gets."""

import pytest
import torch
from safetensors.torch import load_file

from eva_backbone.errors import InputError
from eva_engine.checkpoint.exchange import exchange_weights


def adapted(value: float) -> dict[str, torch.Tensor]:
    return {
        "layer.base_layer.weight": torch.full((2, 3), value),
        "layer.lora_A.default.weight": torch.ones(1, 3),
        "layer.lora_B.default.weight": torch.ones(2, 1),
    }


@pytest.mark.parametrize(("entry", "expected"), [("", 4.0), ("model", 4.0), ("ema", 6.0)])
def test_adapters_are_merged_before_the_names_change(entry, expected, tmp_path):
    content = {"model": adapted(0.0), "ema": adapted(2.0), "lora": {"rank": 1, "alpha": 4.0}}
    torch.save(content, tmp_path / "in.pth")
    output = tmp_path / "out.safetensors"
    exchange_weights(tmp_path / "in.pth", output, entry, lambda weights: {f"their.{n}": v for n, v in weights.items()})
    stored = load_file(output)
    assert stored.keys() == {"their.layer.weight"}
    assert torch.equal(stored["their.layer.weight"], torch.full((2, 3), expected))


def test_tensors_that_share_memory_are_stored_one_by_one(tmp_path):
    table = torch.arange(6.0).reshape(2, 3)
    weights = {"a": table, "same": table, "turned": table.t(), "part": table[1]}
    torch.save(weights, tmp_path / "in.pth")
    exchange_weights(tmp_path / "in.pth", tmp_path / "out.safetensors", "", lambda found: found)
    stored = load_file(tmp_path / "out.safetensors")
    assert stored.keys() == weights.keys()
    assert all(torch.equal(stored[name], value) for name, value in weights.items())


@pytest.mark.parametrize("entry", ["ema", "iteration", "bare"])
def test_an_entry_without_weights(entry, tmp_path):
    content = {"model": adapted(0.0), "iteration": 3, "bare": torch.ones(2)}
    torch.save(content, tmp_path / "in.pth")
    with pytest.raises(InputError, match=f"has no entry '{entry}'"):
        exchange_weights(tmp_path / "in.pth", tmp_path / "out.safetensors", entry, lambda found: found)
    assert not (tmp_path / "out.safetensors").exists()
