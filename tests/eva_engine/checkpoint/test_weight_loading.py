"""The published layouts, at tiny width, into a tiny detector of the published names."""

import logging
import pickle

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import DEPTH, WIDTH, TinyDetector, TinyViT, pretraining_state, random_state
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_engine.checkpoint import build_and_load, load_checkpoint, read_weights

NET = "backbone.net."
REL_POS = {f"{NET}blocks.{i}.attn.rel_pos_{axis}" for i in range(DEPTH) for axis in "hw"}
PRETRAINING_ONLY = {"cls_token", "mask_token", "norm.weight", "lm_head.bias"}


def check_shares(model, report):
    """Every entry of the model is in exactly one list."""
    names = [*report.used, *report.missing, *(change.name for change in (*report.resized, *report.skipped))]
    assert sorted(names) == sorted(model.state_dict())


def test_detector_file_is_used_whole(tmp_path):
    """eva_coco_det.pth, eva_coco_seg.pth: same names and sizes."""
    model, path = TinyDetector(), tmp_path / "eva_coco_seg.pth"
    state = random_state(model)
    torch.save({"model": state, "iteration": 35000}, path)
    report = load_checkpoint(model, path)
    assert set(report.used) == set(state)
    assert [report.resized, report.skipped, report.missing, report.unused] == [[], [], [], []]
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_what_is_no_number_of_a_weight_is_refused(dtype, tmp_path):
    model, path = TinyDetector(), tmp_path / "w.pth"
    state = random_state(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({**state, f"{NET}blocks.0.attn.proj.weight": state[f"{NET}blocks.0.attn.proj.weight"].to(dtype)}, path)
    with pytest.raises(InputError, match=rf"attn.proj.weight is stored as {dtype}"):
        load_checkpoint(model, path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_pretraining_file_in_half_precision(tmp_path):
    """eva_psz14to16.pt: a bare ViT in float16 except for the patch kernel; no relative tables."""
    model, path = TinyDetector(), tmp_path / "eva_psz14to16.pt"
    state = {name: value.half() for name, value in pretraining_state().items()}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].float()
    torch.save({"model": state}, path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_checkpoint(model, path)
    check_shares(model, report)
    assert set(report.unused) == PRETRAINING_ONLY
    assert set(report.missing) == {name for name in before if not name.startswith(NET)} | REL_POS
    assert {f"{NET}{name}" for name in state.keys() - PRETRAINING_ONLY} == set(report.used)
    for name, value in model.state_dict().items():
        expected = before[name] if name in report.missing else state[name.removeprefix(NET)].float()
        assert value.dtype == torch.float32
        assert torch.equal(value, expected), name


def test_heads_of_another_size_are_skipped(tmp_path):
    """eva_o365.pth, box only, 365 classes, into 80 classes with masks."""
    model, path = TinyDetector(num_classes=80), tmp_path / "eva_o365.pth"
    torch.save({"model": random_state(TinyDetector(num_classes=365, mask_head=False))}, path)
    head = model.roi_heads.cls_score.weight.clone()
    report = load_checkpoint(model, path)
    check_shares(model, report)
    assert {(change.name, change.file_shape, change.model_shape) for change in report.skipped} == {
        ("roi_heads.cls_score.weight", (366, 4), (81, 4)),
        ("roi_heads.cls_score.bias", (366,), (81,)),
    }
    assert set(report.missing) == {"roi_heads.mask.weight", "roi_heads.mask.bias"}
    assert torch.equal(model.roi_heads.cls_score.weight, head)


def test_stock_detectron2_file(tmp_path):
    """A model-zoo pickle: arrays, one bias for q, k and v, buffers that models no longer have."""
    model, path = TinyDetector(), tmp_path / "model_final.pkl"
    state = random_state(TinyDetector(fused_bias=True))
    arrays = {name: value.numpy() for name, value in state.items()} | {"pixel_mean": torch.zeros(3).numpy()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "zoo"}))
    report = load_checkpoint(model, path)
    assert report.unused == ["pixel_mean"]
    assert [report.missing, report.skipped] == [[], []]
    assert f"{DEPTH} nonzero key biases dropped" in report.notes[0]
    bias = state[f"{NET}blocks.1.attn.qkv.bias"]
    attention = model.backbone.net.blocks[1].attn
    assert torch.equal(attention.q_bias, bias[:WIDTH])
    assert torch.equal(attention.v_bias, bias[2 * WIDTH :])


def test_zero_key_bias_is_dropped_quietly(tmp_path):
    state = random_state(TinyDetector(fused_bias=True))
    for name in state:
        if name.endswith("qkv.bias"):
            state[name][WIDTH : 2 * WIDTH] = 0
    torch.save(state, tmp_path / "w.pth")
    report = load_checkpoint(TinyDetector(), tmp_path / "w.pth")
    assert report.notes == [f"qkv.bias of {DEPTH} blocks split into q_bias and v_bias"]


def test_separate_biases_into_a_plain_vit(tmp_path):
    model = TinyDetector(fused_bias=True)
    state = random_state(TinyDetector())
    torch.save(state, tmp_path / "w.pth")
    report = load_checkpoint(model, tmp_path / "w.pth")
    assert [report.missing, report.unused] == [[], []]
    parts = [state[f"{NET}blocks.0.attn.{name}"] for name in ("q_bias", "v_bias")]
    expected = torch.cat([parts[0], torch.zeros(WIDTH), parts[1]])
    assert torch.equal(model.backbone.net.blocks[0].attn.qkv.bias, expected)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_detector_file_into_a_bare_vit(prefix, tmp_path):
    model = TinyViT()
    state = {prefix + name: value for name, value in random_state(TinyDetector()).items()}
    save_file(state, tmp_path / "w.safetensors")
    report = load_checkpoint(model, tmp_path / "w.safetensors")
    assert not report.missing
    assert len(report.unused) == len(state) - len(model.state_dict())


def wider_vit():
    state = random_state(TinyViT())
    return {name: value.repeat_interleave(2, dim=-1) for name, value in state.items()}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"backbone.bottom_up.res2.conv1.weight": torch.zeros(4, 4)}, "1 entries such as backbone.bottom_up.res2"),
        (wider_vit(), "a ViT of width 16, depth 2, patch 32"),
        ({"roi_heads.cls_score.weight": torch.zeros(81, 4), "conv1.weight": torch.zeros(2)}, "0 of"),
    ],
)
def test_weights_of_another_model(state, message, tmp_path):
    model, path = TinyDetector(), tmp_path / "w.pth"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(state, path)
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(model, path)
    assert str(path) in str(caught.value)
    assert "expected is a ViT of width 8, depth 2, patch 16" in str(caught.value)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_names_of_another_model_of_the_same_size(tmp_path):
    state = {}
    for name, value in random_state(TinyDetector()).items():
        state[name.replace("backbone.net.", "trunk-")] = value
    torch.save(state, tmp_path / "w.pth")
    message = r"names such as trunk-pos_embed, expected is such as backbone\.net\.pos_embed"
    with pytest.raises(InputError, match=message):
        load_checkpoint(TinyDetector(), tmp_path / "w.pth")


def test_a_backbone_under_another_name_is_found_by_its_blocks(tmp_path):
    state = random_state(TinyDetector())
    torch.save({f"student.{name}": value for name, value in state.items()}, tmp_path / "w.pth")
    model = TinyDetector()
    report = load_checkpoint(model, tmp_path / "w.pth")
    name = next(name for name in state if "blocks.0" in name)
    assert name in report.used
    torch.testing.assert_close(model.state_dict()[name], state[name])


def test_log_has_counts_and_every_name(tmp_path, caplog):
    path = tmp_path / "w.pth"
    torch.save(random_state(TinyDetector(num_classes=5, mask_head=False, side=9)) | {"extra.0": torch.ones(1)}, path)
    with caplog.at_level(logging.INFO, logger="eva_engine"):
        load_checkpoint(TinyDetector(), path)
    text = caplog.text
    used = len(TinyDetector().state_dict()) - len(REL_POS) - 4
    assert f"{used} entries used, {len(REL_POS)} resized, 2 skipped, 2 missing, 1 unused" in text
    for part in (
        "backbone.net.blocks.{0-1}.norm1.{weight,bias}",
        "backbone.net.blocks.1.attn.rel_pos_w [17,4]->[39,4]",
        "roi_heads.cls_score.weight [6,4]->[81,4]",
        "roi_heads.mask.{weight,bias}",
        "extra.0",
    ):
        assert part in text


def test_parameters_stay_the_same_objects(tmp_path):
    """An optimizer built before loading updates the loaded weights; frozen parameters and the file do not change."""
    model, path = TinyDetector(), tmp_path / "w.pth"
    model.backbone.net.patch_embed.requires_grad_(False)
    state = random_state(model)
    torch.save({"model": state}, path)
    content = path.read_bytes()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    load_checkpoint(model, path)
    assert not model.backbone.net.patch_embed.proj.weight.requires_grad
    model.roi_heads.cls_score.bias.sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.roi_heads.cls_score.bias.detach(), state["roi_heads.cls_score.bias"] - 1)
    assert path.read_bytes() == content


def test_entries_that_share_memory_in_the_file_do_not_in_the_model(tmp_path):
    shared = torch.ones(4)
    torch.save({"0.weight": shared, "1.weight": shared}, tmp_path / "w.pth")
    model = nn.Sequential(nn.LayerNorm(4, bias=False), nn.LayerNorm(4, bias=False))
    load_checkpoint(model, tmp_path / "w.pth")
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(model[1].weight, torch.ones(4))


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["torch", "safetensors"])
def test_loaded_weights_are_saved_in_their_own_size(save, tmp_path):
    model = TinyDetector()
    save(random_state(model), tmp_path / "w.bin")
    load_checkpoint(model, tmp_path / "w.bin")
    torch.save(model.state_dict(), tmp_path / "again.pth")
    torch.save(TinyDetector().state_dict(), tmp_path / "plain.pth")
    assert (tmp_path / "again.pth").stat().st_size == (tmp_path / "plain.pth").stat().st_size


def test_build_and_load_initialises_what_the_file_lacks(tmp_path):
    def build():
        model = TinyDetector()
        nn.init.constant_(model.roi_heads.cls_score.bias, 3.0)
        nn.init.constant_(model.backbone.net.pos_embed, 3.0)
        return model

    path = tmp_path / "w.pth"
    state = pretraining_state()
    torch.save(state, path)
    model, report = build_and_load(build, path)
    check_shares(model, report)
    assert torch.equal(model.roi_heads.cls_score.bias, torch.full((81,), 3.0))
    assert model.backbone.simfp_4.weight.std() > 0.05
    assert torch.equal(model.backbone.net.pos_embed, state["pos_embed"])
    assert torch.equal(model.backbone.net.blocks[0].norm1.weight, state["blocks.0.norm1.weight"])


def test_tied_parameter_supplied_under_one_name(tmp_path):
    with deferred_init() as pending:
        model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        model["b"].weight = model["a"].weight
    state = {"a.weight": torch.ones(3, 3), "a.bias": torch.ones(3), "b.bias": torch.ones(3)}
    torch.save(state, tmp_path / "w.pth")
    load_checkpoint(model, tmp_path / "w.pth", pending)
    assert torch.equal(model["b"].weight, torch.ones(3, 3))


def test_build_is_not_reached_for_a_wrong_path(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        build_and_load(lambda: pytest.fail("built"), tmp_path / "nowhere.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_files_are_read_on_the_cpu_whatever_the_default_device_is(tmp_path, legacy):
    path = tmp_path / "weights.pt"
    torch.save({"a.weight": torch.arange(6.0)}, path, _use_new_zipfile_serialization=not legacy)
    with torch.device("meta"):
        weights = read_weights(path)
    assert weights["a.weight"].tolist() == list(range(6))


@pytest.mark.parametrize("entry", ["ema", "ema_state", "model_ema"])
def test_averages_are_found_under_all_published_names(tmp_path, entry):
    torch.save({"model": {"a.weight": torch.zeros(2)}, entry: {"a.weight": torch.ones(2)}}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth", averaged=True)["a.weight"].tolist() == [1, 1]
    assert read_weights(tmp_path / "w.pth")["a.weight"].tolist() == [0, 0]
