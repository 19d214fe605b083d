"""Initial weights of training from the files of two towers."""

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from eva_backbone.errors import InputError
from eva_classification.mim import BlockMasking, MaskedImageModel
from eva_clip import build_model
from eva_clip.commands import join_towers as tool
from eva_clip.initialization import join_tower_weights
from eva_engine.checkpoint import build_and_load

SIZE = {"img_size": 28, "patch_size": 14, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 4.0}
TEXT = {"context_length": 8, "vocab_size": 50, "width": 32, "num_heads": 2, "num_layers": 2}


def build():
    return build_model("eva_clip_tiny", visual=SIZE, text=TEXT)


@pytest.fixture
def pretrained() -> torch.nn.Module:
    masking = BlockMasking(grid=(2, 2), num_masked=1, min_block=1)
    return MaskedImageModel(**SIZE, teacher=torch.nn.Identity(), teacher_dim=6, masking=masking)


@pytest.fixture
def clip() -> torch.nn.Module:
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=14, image_size=28)
    text = CLIPTextCfg(context_length=8, vocab_size=50, width=32, heads=2, layers=2)
    return CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text, quick_gelu=True)


def test_towers_of_two_files_start_a_model(pretrained, clip, tmp_path, capsys):
    torch.save({"model": pretrained.state_dict()}, tmp_path / "mim.pt")
    torch.save({name: value.half() for name, value in clip.state_dict().items()}, tmp_path / "clip.pt")
    paths = [str(tmp_path / name) for name in ("mim.pt", "clip.pt", "start.pt")]
    assert tool.main(paths) == 0
    assert "start.pt" in capsys.readouterr().out
    model, report = build_and_load(build, paths[2])
    new = {"visual.head.weight", "visual.head.bias", "text.text_projection", "text.logit_scale"}
    assert set(report.missing) == new
    assert report.unused == report.skipped == []
    expected = pretrained.state_dict()
    for name, value in model.visual.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(value, expected[name])
    # The text tower computes what the other did, but for its activation and its projection.
    ids = torch.tensor([[48, 5, 9, 49, 0, 0, 0, 0]])
    for block in model.text.transformer.resblocks:
        block.mlp.gelu = open_clip.transformer.QuickGELU()
    clip.load_state_dict({name: value.half().float() for name, value in clip.state_dict().items()})
    with torch.no_grad():
        model.text.text_projection.copy_(torch.eye(32, 64))
        clip.text_projection = torch.nn.Parameter(torch.eye(32))
        torch.testing.assert_close(model.encode_text(ids)[:, :32], clip.encode_text(ids), rtol=1e-4, atol=1e-5)


def test_towers_of_full_models_are_joined():
    weights = build().state_dict()
    joined = join_tower_weights(weights, weights)
    left_out = {"visual.head.weight", "visual.head.bias", "text.text_projection", "text.logit_scale"}
    assert weights.keys() - joined.keys() == left_out
    assert all(joined[name] is weights[name] for name in joined)


def test_a_classifier_is_not_an_image_tower(pretrained, clip):
    for entry in ("head.weight", "head.0.running_mean", "fc_norm.weight"):
        weights = {**pretrained.state_dict(), entry: torch.ones(10, 64)}
        with pytest.raises(InputError, match=f"have {entry}, as classifiers have"):
            join_tower_weights(weights, clip.state_dict())


def test_files_in_the_wrong_order_are_one_sentence(pretrained, clip, tmp_path, capsys):
    with pytest.raises(InputError, match="image tower have names such as"):
        join_tower_weights(clip.state_dict(), pretrained.state_dict())
    with pytest.raises(InputError, match="text tower have names such as"):
        join_tower_weights(pretrained.state_dict(), pretrained.state_dict())
    torch.save(pretrained.state_dict(), tmp_path / "a.pt")
    source = str(tmp_path / "a.pt")
    for output, sentence in ((source, "the input itself"), (str(tmp_path / "none" / "b.pt"), "does not exist")):
        assert tool.main([source, source, output]) == 2
        assert sentence in capsys.readouterr().err
