import re

import pytest
import torch
import torch.nn.functional as F

from eva_engine.commands.interpolate_patch_14to16 import main


def vit(patch=14, positions=257, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = {"patch_embed.proj.weight": (4, 3, patch, patch), "pos_embed": (1, positions, 4), "norm.weight": (4,)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("key", [None, "model", "module", "state_dict"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_converted(key, dtype, tmp_path):
    weights = vit(dtype=dtype)
    content = weights if key is None else {key: weights, "epoch": 7}
    torch.save(content, tmp_path / "in.pt")
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "out.pt")]) == 0
    result = torch.load(tmp_path / "out.pt", weights_only=True)
    assert result.keys() == content.keys()
    result = result if key is None else result[key]
    kernel = weights["patch_embed.proj.weight"].float()
    expected = F.interpolate(kernel, (16, 16), mode="bicubic", align_corners=False)
    assert torch.equal(result["patch_embed.proj.weight"], expected)
    assert result["pos_embed"].dtype == dtype
    assert result["pos_embed"].shape == (1, 197, 4)
    assert torch.equal(result["pos_embed"][:, 0], weights["pos_embed"][:, 0])
    assert torch.equal(result["norm.weight"], weights["norm.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": vit(patch=16)}, r"has patches of \(16, 16\)"),
        ({"model": {"pos_embed": torch.zeros(1, 257, 4)}}, "has no 4-axis tensor 'patch_embed.proj.weight'"),
        ({"model": vit() | {"pos_embed": torch.zeros(257, 4)}}, "has no 3-axis tensor 'pos_embed'"),
        (vit(positions=256), "not a class token and a square grid"),
        ([1, 2], "has no named tensors"),
    ],
)
def test_unusable_input(content, message, tmp_path, capsys):
    torch.save(content, tmp_path / "in.pt")
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "out.pt")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/in.pt")
    assert re.search(message, error)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


def test_input_is_never_overwritten(tmp_path, capsys):
    torch.save(vit(), tmp_path / "in.pt")
    (tmp_path / "link.pt").hardlink_to(tmp_path / "in.pt")
    before = (tmp_path / "in.pt").read_bytes()
    for output in ("in.pt", "link.pt"):
        assert main([str(tmp_path / "in.pt"), str(tmp_path / output)]) == 2
        assert "is the input itself" in capsys.readouterr().err
    assert (tmp_path / "in.pt").read_bytes() == before


def test_a_name_of_another_format(tmp_path, capsys):
    torch.save(vit(), tmp_path / "in.pt")
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors")]) == 2
    assert "name it .pt or .pth" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


def test_missing_folder_of_the_output(tmp_path, capsys):
    torch.save(vit(), tmp_path / "in.pt")
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "no" / "out.pt")]) == 2
    assert "does not exist; create it first" in capsys.readouterr().err
