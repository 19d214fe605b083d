"""Position tables and patch kernels of another size are resized when weights are loaded."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import resize_rel_pos_bias_table
from tiny_models import DEPTH, WIDTH, TinyDetector, TinyViT, pretraining_state, random_state
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.patch_embed import resize_patch_kernel
from eva_backbone.position import resize_pos_embed
from eva_backbone.relative_position import resize_rel_pos
from eva_engine.checkpoint import load_checkpoint

NET = "backbone.net."
REL_POS = {f"{NET}blocks.{i}.attn.rel_pos_{axis}" for i in range(DEPTH) for axis in "hw"}


def test_patch_14_file_is_resized(tmp_path):
    """eva_psz14.pt as it is: kernel 14 to 16, positions 16x16 to 14x14."""
    model, path = TinyDetector(), tmp_path / "eva_psz14.pt"
    state = pretraining_state(patch=14, grid=16)
    torch.save({"model": state}, path)
    report = load_checkpoint(model, path)
    shapes = {change.name.removeprefix(NET): (change.file_shape, change.model_shape) for change in report.resized}
    assert shapes == {
        "pos_embed": ((1, 257, WIDTH), (1, 197, WIDTH)),
        "patch_embed.proj.weight": ((WIDTH, 3, 14, 14), (WIDTH, 3, 16, 16)),
    }
    net = model.backbone.net
    assert torch.equal(net.pos_embed, resize_pos_embed(state["pos_embed"], (14, 14)))
    kernel = F.interpolate(state["patch_embed.proj.weight"], (16, 16), mode="bicubic", align_corners=False)
    assert torch.equal(net.patch_embed.proj.weight, kernel)
    assert torch.equal(resize_patch_kernel(state["patch_embed.proj.weight"], (16, 16)), kernel)


def beit(img_size, layout, **options):
    return VisionTransformer(
        img_size=img_size, patch_size=4, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2, **{layout: options["tables"]}
    )


@pytest.mark.parametrize("method", [None, "vitdet", "beit"])
def test_relative_tables_of_another_resolution(method, tmp_path):
    model, path = TinyDetector(side=30), tmp_path / "w.pth"
    if method is not None:
        for block in model.backbone.net.blocks:
            block.attn.rel_pos_resize = method
    state = random_state(TinyDetector(side=20))
    torch.save(state, path)
    report = load_checkpoint(model, path)
    assert {change.name for change in report.resized} == REL_POS
    for name in REL_POS:
        assert torch.equal(model.get_parameter(name), resize_rel_pos(state[name], 30, method or "vitdet"))


@pytest.mark.parametrize("layout", ["rel_pos", "shared_rel_pos"])
@pytest.mark.parametrize(("source", "target"), [(16, 24), (24, 16), (16, 40), ((12, 20), (12, 20))])
def test_joint_tables_of_another_image_size_are_resized_as_timm_does(layout, source, target, tmp_path):
    state = random_state(beit(source, layout, tables="joint"))
    torch.save(state, tmp_path / "w.pth")
    model = beit(target, layout, tables="joint")
    report = load_checkpoint(model, tmp_path / "w.pth")
    tables = [name for name in state if name.endswith("relative_position_bias_table")]
    assert len(tables) == (2 if layout == "rel_pos" else 1)
    side = target if isinstance(target, tuple) else (target, target)
    for name in tables:
        shape = model.get_parameter(name).shape
        expected = resize_rel_pos_bias_table(state[name], (side[0] // 4, side[1] // 4), shape)
        assert torch.equal(model.get_parameter(name), expected)
        assert (name in {change.name for change in report.resized}) == (source != target)
    assert report.skipped == []


def test_tables_of_one_axis_of_another_image_size(tmp_path):
    """Each column is resized like a decomposed table; the rows of the class token are kept."""
    state = random_state(beit(16, "shared_rel_pos", tables="decoupled"))
    torch.save(state, tmp_path / "w.pth")
    model = beit(24, "shared_rel_pos", tables="decoupled")
    report = load_checkpoint(model, tmp_path / "w.pth")
    for axis in ("high", "width"):
        name = f"rel_pos_bias.relative_position_bias_for_{axis}"
        assert name in {change.name for change in report.resized}
        table = model.get_parameter(name)
        assert torch.equal(table[:-3], resize_rel_pos(state[name][:-3], 6, "beit"))
        assert torch.equal(table[-3:], state[name][-3:])


@pytest.mark.parametrize("rows", [0, 2, 3, 4, 19, 39, 2050])
def test_joint_tables_that_no_grid_has_are_skipped(rows, tmp_path):
    model = beit(16, "rel_pos", tables="joint")
    name = "blocks.0.attn.relative_position_bias_table"
    torch.save({**random_state(model), name: torch.ones(rows, 2)}, tmp_path / "w.pth")
    report = load_checkpoint(model, tmp_path / "w.pth")
    assert [change.name for change in report.skipped] == [name]


def test_table_without_class_slot(tmp_path):
    state = random_state(TinyViT(grid=14))
    torch.save(state, tmp_path / "w.pth")
    model = TinyViT(grid=10)
    model.pos_embed = nn.Parameter(torch.zeros(1, 100, WIDTH))
    load_checkpoint(model, tmp_path / "w.pth")
    assert torch.equal(model.pos_embed, resize_pos_embed(state["pos_embed"][:, 1:], (10, 10), num_prefix_tokens=0))


def test_rotary_tables_of_eva02_are_ignored_with_a_note(tmp_path):
    model = VisionTransformer(img_size=28, patch_size=14, embed_dim=16, depth=2, num_heads=2, rope=True)
    tables = {
        f"{stem}freqs_{name}": torch.ones(4, 8)
        for stem in ("rope.", "blocks.1.attn.rope.", "rope_glb.")
        for name in ("cos", "sin")
    }
    torch.save({"model": {**model.state_dict(), **tables}}, tmp_path / "w.pth")
    report = load_checkpoint(model, tmp_path / "w.pth")
    assert (report.unused, report.missing) == ([], [])
    assert report.notes == ["6 tables of rotary positions ignored, which are computed from the size of the image"]
