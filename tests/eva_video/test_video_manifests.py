"""Names, shapes and order of the entries of published files, compared with full-size models on the meta device."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.checkpoint.matching import match_weights
from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer
from eva_video import VideoClassifier

ROOT = Path(__file__).parents[2]
SETS = (722, 400, 600, 700)


def manifest(name: str) -> dict:
    return json.loads(gzip.decompress((ROOT / "tests/data/manifests" / f"{name}.json.gz").read_bytes()))


def without_memory(name: str, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    return {entry[0]: torch.zeros((), dtype=dtype).expand(entry[1]) for entry in manifest(name)["entries"]}


def recipe(number: int, *changes: str):
    return load_config(str(ROOT / f"projects/Video/configs/kinetics{number}.py"), changes)


def on_meta(number: int, *changes: str) -> VideoClassifier:
    with torch.device("meta"):
        return instantiate(recipe(number, *changes).model)


@pytest.mark.parametrize("number", SETS)
def test_exactly_the_file(number):
    expected = manifest(f"eva_video_k{number}")
    state = on_meta(number).state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == [entry[:2] for entry in expected["entries"]]
    assert sum(value.numel() for value in state.values()) == expected["num_parameters"]


FRESH = ["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]
MIM_ONLY = ["mask_token", "norm.weight", "norm.bias", "lm_head.weight", "lm_head.bias"]
POSITIONS, KERNEL, HEAD = ["pos_embed"], ["patch_embed.proj.weight"], ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("file", "number", "changes", "resized", "missing", "unused"),
    [
        ("eva_psz14", 722, [], POSITIONS + KERNEL, FRESH, MIM_ONLY),
        ("eva_psz14", 400, ["model.tubelet_size=2"], POSITIONS + KERNEL, FRESH, MIM_ONLY),
        ("eva_video_k722", 722, [], [], [], []),
        ("eva_video_k722", 400, [], POSITIONS + HEAD, [], []),
        ("eva_video_k722", 600, [], POSITIONS + HEAD, [], []),
        ("eva_video_k722", 700, [], POSITIONS + HEAD, [], []),
        ("eva_video_k400", 400, [], [], [], []),
        ("eva_video_k400", 400, ["model.num_frames=32"], POSITIONS, [], []),
        ("eva_video_k700", 700, ["model.img_size=280"], POSITIONS, [], []),
    ],
)
def test_published_files_in_every_recipe(file, number, changes, resized, missing, unused):
    values, report = match_weights(on_meta(number, *changes), without_memory(file), Path("file.pt"))
    assert sorted(change.name for change in report.resized) == sorted(resized)
    assert [report.skipped, sorted(report.missing), sorted(report.unused)] == [[], sorted(missing), sorted(unused)]
    state = on_meta(number, *changes).state_dict()
    assert all(value.shape == state[name].shape for name, value in values.items())


def test_a_head_of_other_classes_starts_fresh():
    report = match_weights(on_meta(400), without_memory("eva_video_k600"), Path("file.pt"))[1]
    assert [change.name for change in report.skipped] == HEAD


@pytest.mark.parametrize("number", SETS)
def test_settings_of_the_published_trainings(number):
    cfg = recipe(number)
    model = on_meta(number)
    optimizer = build_optimizer(cfg, model)
    base, decay = (8e-6, 1.0) if number == 722 else (1e-6, 0.95)
    rates = sorted({group["lr"] for group in optimizer.param_groups}, reverse=True)
    assert rates == pytest.approx([base * decay**layer for layer in range(42 if decay < 1 else 1)])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.05}
    assert all((group["betas"], group["eps"]) == ((0.9, 0.98), 1e-6) for group in optimizer.param_groups)

    epochs, length = {722: (40, 2458), 400: (1, 916), 600: (2, 1612), 700: (2, 2086)}[number]
    assert (cfg.train.max_iter, cfg.train.checkpointer.period) == (epochs * length, length)
    assert cfg.dataloader.train.total_batch_size == 256
    schedule = instantiate(cfg.lr_multiplier)
    factors = [schedule(iteration / cfg.train.max_iter) for iteration in (0, 1, 5 * length, cfg.train.max_iter)]
    if number == 722:
        assert factors == pytest.approx([0, 0, 1, 0.01], abs=1e-3)
    else:
        assert factors[:2] + factors[-1:] == [1, 1, 1]
    assert model.blocks[-1].drop_path.drop_prob == pytest.approx(0.3 if number == 722 else 0.2)
    assert model.smoothing == 0.1


def test_evaluations_of_the_published_rows():
    """K722 has one view and the others twelve; two keys give K722 twelve views as well."""
    for number, views in zip(SETS, (1, 12, 12, 12), strict=True):
        cfg = recipe(number)
        assert instantiate(cfg.dataloader.test.mapper).num_views == views
    keys = ["dataloader.test.mapper.frame_sampler.num_clips=4", "dataloader.test.mapper.transform.num_crops=3"]
    assert instantiate(recipe(722, *keys).dataloader.evaluator)._num_views == 12
