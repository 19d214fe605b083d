"""A detector on a plain ViT of timm: strides, statistics, layers, weight files, and a run from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from detectron2.config import instantiate
from safetensors.torch import save_file
from timm.models import group_parameters

from eva_backbone.errors import InputError
from eva_demos.detection.fluo_hela import TRAIN, write_split
from eva_engine.checkpoint import load_checkpoint
from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer

ROOT = Path(__file__).parents[3]
RECIPE = "projects/ViTDet/configs/timm/cascade_mask_rcnn_timm_vit.py"
DINOV2, BEIT = "vit_small_patch14_reg4_dinov2", "beit_base_patch16_224"


def detector(name: str, side: int, device: str = "cpu"):
    cfg = load_config(RECIPE, [f"model.backbone.net.name={name}", f"model.backbone.square_pad={side}"])
    with torch.device(device):
        return cfg, instantiate(cfg.model)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", DINOV2, "vit_pe_core_tiny_patch16_384", BEIT])
def test_levels_have_exactly_the_strides_of_the_poolers(name):
    _, model = detector(name, 128, "meta")
    levels = model.backbone(torch.zeros(1, 3, 128, 128, device="meta"))
    assert {key: tuple(level.shape) for key, level in levels.items()} == {
        f"p{number}": (1, 256, 128 // 2**number, 128 // 2**number) for number in range(2, 7)
    }
    assert model.backbone.net.output_shape()["last_feat"].stride == 16


def test_one_key_sets_the_resolution_of_model_and_data():
    cfg, model = detector(BEIT, 512, "meta")
    assert model.backbone.net.img_size == (512, 512)
    assert model.square_size == 512
    _, resize, crop = instantiate(cfg.dataloader.train.mapper.augmentations)
    assert (resize.target_height, resize.target_width, tuple(crop.crop_size)) == (512, 512, (512, 512))
    assert instantiate(cfg.dataloader.test.mapper.augmentations)[0].max_size == 512


def test_images_are_normalised_as_in_pre_training():
    name = "vit_base_patch16_clip_224.openai"
    _, model = detector(name, 64)
    data = timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    image = torch.arange(3 * 64 * 64).reshape(3, 64, 64) % 256
    expected = (image / 255 - torch.tensor(data["mean"]).view(3, 1, 1)) / torch.tensor(data["std"]).view(3, 1, 1)
    found = model.preprocess_image([{"image": image.float()}]).tensor[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", DINOV2, "eva02_tiny_patch14_224", BEIT])
def test_layers_and_parameters_without_decay_are_those_of_timm(name):
    cfg, model = detector(name, 224, "meta")
    vit = model.backbone.net.vit
    layer_of = group_parameters(vit, vit.group_matcher(), reverse=True)
    no_decay = vit.no_weight_decay()
    optimizer = build_optimizer(cfg, model)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {name_of[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
    assert found.keys() == set(name_of.values())
    prefix, depth = "backbone.net.vit.", len(vit.blocks)
    for key, group in found.items():
        layer = layer_of[key.removeprefix(prefix)] if key.startswith(prefix) else depth + 1
        assert group["lr"] == pytest.approx(1e-4 * 0.8 ** (depth + 1 - layer)), key
        if key.startswith(prefix):
            is_excluded = vit.get_parameter(key.removeprefix(prefix)).ndim == 1 or key.removeprefix(prefix) in no_decay
            assert group["weight_decay"] == (0 if is_excluded else 0.1), key
    # the detector itself has timm's interface
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    assert all(groups[prefix + key] == layer for key, layer in layer_of.items())


def test_a_weight_file_of_timm_starts_a_detector(tmp_path):
    stored = timm.create_model("vit_tiny_patch16_224")
    save_file(stored.state_dict(), tmp_path / "model.safetensors")
    _, model = detector("vit_tiny_patch16_224", 64)
    report = load_checkpoint(model, tmp_path / "model.safetensors")
    weights = model.backbone.net.vit.state_dict()
    assert not report.resized
    assert {f"backbone.net.vit.{key}" for key in weights} == set(report.used)
    for key, value in weights.items():
        assert torch.equal(value, stored.state_dict()[key])


@pytest.mark.parametrize(
    ("stored", "name", "count", "example"),
    [
        ("vit_small_patch16_224", "vit_small_patch16_dinov3", 38, "backbone.net.vit.reg_token"),
        ("vit_small_patch14_dinov2", "vit_small_patch16_224", 24, "blocks.0.ls1.gamma"),
        ("vit_small_patch16_rope_ape_224", "vit_small_patch16_rope_224", 1, "pos_embed"),
        ("vit_base_patch16_224", "vit_base_patch16_siglip_224", 1, "cls_token"),
    ],
)
def test_a_weight_file_of_a_similar_model_is_refused(stored, name, count, example, tmp_path):
    """Most entries have the same names and shapes."""
    save_file(timm.create_model(stored).state_dict(), tmp_path / "model.safetensors")
    _, model = detector(name, 64)
    with pytest.raises(InputError) as error:
        load_checkpoint(model, tmp_path / "model.safetensors")
    expected = (
        f"belongs to another model than backbone.net.vit: {count} entries are in only one of them, such as {example}"
    )
    assert expected in str(error.value)


def tools(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore", "-m", "tools", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_a_tiny_model_trains_on_nuclei_and_predicts(tmp_path):
    """From timm's weights in a file to a prediction with nothing but the folder of the run."""
    json_file, images = write_split(tmp_path, TRAIN)
    content = json.loads(json_file.read_text())
    kept = {image["id"] for image in content["images"][100:108]}
    content["images"] = [image for image in content["images"] if image["id"] in kept]
    content["annotations"] = [record for record in content["annotations"] if record["image_id"] in kept]
    small = tmp_path / "small.json"
    small.write_text(json.dumps(content))
    name, output = "vit_tiny_patch16_224.augreg_in21k", tmp_path / "run"
    save_file(timm.create_model(name).state_dict(), tmp_path / "model.safetensors")
    ended = tools(
        *("train", "--config-file", RECIPE, "--train-json", str(small), "--train-images", str(images)),
        *(f"train.init_checkpoint={tmp_path / 'model.safetensors'}", f"train.output_dir={output}"),
        *(f"model.backbone.net.name={name}", "model.backbone.square_pad=96", "train.device=cpu"),
        *("train.amp.enabled=False", "train.max_iter=4", "train.log_period=1", "train.lora.rank=2"),
        *(f"model.roi_heads.box_heads.{stage}.conv_dims=[]" for stage in range(3)),
        *("model.roi_heads.batch_size_per_image=16", "dataloader.train.total_batch_size=2"),
        *("dataloader.train.num_workers=0", "train.seed=0"),
    )
    assert ended.returncode == 0, ended.stderr
    rows = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    losses = [row["total_loss"] for row in rows if "total_loss" in row]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    image = images / content["images"][0]["file_name"]
    ended = tools(
        *("predict", "--config-file", str(output / "config.yaml"), "--weights", str(output / "model_final.pth")),
        *("--input", str(image), "--output", str(tmp_path / "out")),
    )
    assert ended.returncode == 0, ended.stderr
    assert "failed: 0" in ended.stdout + ended.stderr
