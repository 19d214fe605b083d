"""The one-row summary of a recipe, and the memory of inference against a real forward pass."""

import pytest
import torch
from detectron2.config import instantiate
from small_recipe import ROOT, small_recipe
from task_recipes import PUBLISHED, task_recipe
from torch.utils._pytree import tree_map_only

from eva_engine.commands.verbs import main
from eva_engine.memory.summary import summarize
from eva_engine.memory.synthetic_batch import synthetic_batch
from eva_engine.memory.tracker import LiveBytes

IN1K = "Classification/configs/in1k_336.py"


def classifier(*overrides):
    return task_recipe(IN1K, *PUBLISHED[IN1K], "model.img_size=112", *overrides)


def _dense(tensor):
    return tensor.clone(memory_format=torch.contiguous_format)


@torch.no_grad()
def measured_inference(cfg):
    model = instantiate(cfg.model).eval()
    for module in model.modules():
        if hasattr(module, "test_score_thresh"):
            module.test_score_thresh = 0.0
    batch = synthetic_batch(cfg).make(1)
    with LiveBytes([*model.parameters(), *model.buffers()]) as tracker:
        model(tree_map_only(torch.Tensor, _dense, batch))
    return tracker.peak


def test_inference_of_a_classifier():
    cfg = classifier("train.device=cpu")
    found = synthetic_batch(cfg).measure_inference("cpu", lambda _: None)
    assert found == pytest.approx(measured_inference(cfg), rel=0.02)


def test_inference_of_a_detector():
    cfg = small_recipe("train.device=cpu")
    found = synthetic_batch(cfg).measure_inference("cpu", lambda _: None)
    assert found == pytest.approx(measured_inference(cfg), rel=0.15)


def test_less_training_needs_less_memory():
    summary = summarize(lambda more: small_recipe(*more), lambda _: None)
    weights = 4 * summary.num_parameters
    assert summary.full > summary.lora > summary.frozen > summary.inference > weights


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_the_backbone_of_a_classifier_can_be_frozen(pooling):
    change = f"model.pooling={pooling}"
    summary = summarize(lambda more: classifier(change, *more), lambda _: None)
    assert summary.full > summary.lora > summary.frozen


def test_pre_training_has_neither_lora_nor_freezing():
    path = "Classification/configs/mim_pretrain_224.py"
    summary = summarize(lambda more: task_recipe(path, *PUBLISHED[path], *more), lambda _: None)
    assert (summary.lora, summary.frozen) == (None, None)


def test_the_command(capsys):
    overrides = [*PUBLISHED[IN1K], "model.img_size=112"]
    assert main(["plan", "--summary", "--config-file", str(ROOT / "projects" / IN1K), *overrides]) == 0
    header, _, row = capsys.readouterr().out.splitlines()[-3:]
    assert header.split()[0] == "parameters"
    assert len(row.split()) == 5


@pytest.mark.parametrize("option", [("--num-gpus", "8"), ("--objects", "500"), ("--gpu-memory", "24GB"), ("--table",)])
def test_options_that_a_summary_would_ignore(option, capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--config-file", f"{ROOT}/projects/{IN1K}", "--summary", *option])
    assert "--summary is for one sample on one GPU" in capsys.readouterr().err
