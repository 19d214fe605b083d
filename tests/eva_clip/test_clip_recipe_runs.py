"""Runs of a small EVA-CLIP with the published recipe: both kinds of data, exact resume, sharded and replicated."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.config import instantiate
from synthetic_pairs import pair_members, write_shard

from eva_backbone.deferred_init import deferred_init
from eva_engine.checkpoint import read_file
from eva_engine.commands.train import main
from eva_engine.config import load_config

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "projects" / "CLIP" / "configs"
SMALL = [
    *("model.visual.embed_dim=16", "model.visual.depth=2", "model.visual.num_heads=2", "model.visual.img_size=28"),
    *("model.visual.mlp_ratio=2.0", "model.visual.drop_path_rate=0.0", "model.output_dim=16"),
    *("model.text.width=16", "model.text.num_heads=2", "model.text.num_layers=1", "model.text.context_length=8"),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0"),
    *("train.device=cpu", "train.amp.enabled=False", "train.seed=1", "train.log_period=1"),
    *("train.max_iter=4", "train.checkpointer.period=2", "lr_multiplier.warmup_iters=1"),
]


@pytest.fixture
def shards(tmp_path, monkeypatch):
    folder = tmp_path / "laion400m"
    write_shard(folder / "00000.tar", {**pair_members(range(5)), "00003.jpg": b"damaged", "00009.txt": "alone"})
    write_shard(folder / "00001.tar", pair_members(range(5, 9)))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return f'dataloader.train.dataset.shards="{folder}/{{00000..00001}}.tar"'


def run(*arguments: str, recipe: str = "eva_clip_g14") -> int:
    return main(["--config-file", str(CONFIGS / f"{recipe}.py"), *arguments])


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [line["loss_contrastive"] for line in lines if "loss_contrastive" in line]


def test_training_on_shards_resumes_exactly(shards, tmp_path):
    for name in ("whole", "parts"):
        assert run(*SMALL, shards, "dataloader.train.dataset.on_error=skip", f"train.output_dir={tmp_path / name}") == 0
    whole = losses(tmp_path / "whole")
    assert len(whole) == 4
    (tmp_path / "parts" / "model_final.pth").unlink()
    (tmp_path / "parts" / "last_checkpoint").write_text("model_0000001.pth")
    assert run("--resume", *SMALL, shards, f"train.output_dir={tmp_path / 'parts'}") == 0
    assert losses(tmp_path / "parts")[-4:] == whole
    log = (tmp_path / "whole" / "log.txt").read_text()
    assert "00000.tar/00009 has no image" in log
    assert "1 bad record(s) skipped" in log


def test_training_on_a_caption_file_with_text_too_long(caption_file, tmp_path):
    with open(caption_file, "a") as file:
        file.writelines(f"\n{number}.png,{'red ' * 20}" for number in range(6))
    options = [*SMALL, f"dataloader.train.dataset.file={caption_file}"]
    options += ["train.amp.enabled=True", "train.amp.dtype=bfloat16", "train.accumulation_steps=2"]
    options += ["train.validation_loss=True", f"dataloader.validation.file={caption_file}"]
    assert run(*options, f"train.output_dir={tmp_path / 'run'}", recipe="eva_clip_g14_captions") == 0
    assert len(losses(tmp_path / "run")) == 4
    assert "validation/loss_contrastive" in (tmp_path / "run" / "metrics.json").read_text()
    assert "had more than 8 tokens, start and end included, and were cut" in (tmp_path / "run" / "log.txt").read_text()


def test_the_full_recipe_builds_its_model_and_groups():
    cfg = load_config(str(CONFIGS / "eva_clip_g14.py"))
    with deferred_init(), torch.device("meta"):
        model = instantiate(cfg.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_136_435_841
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates[0] == pytest.approx(4e-4 * 0.85**41)
    assert rates[-1] == 5e-4
    assert len(rates) == 42 + 14 + 1
    assert cfg.train.max_iter * cfg.dataloader.train.total_batch_size == pytest.approx(11e9, rel=1e-5)
    lr = instantiate(cfg.lr_multiplier)
    assert (lr.at(0), lr.at(2000)) == (0.0, 1.0)


def process(rank: int, port: int, arguments: list[str], recipe: str) -> None:
    torch.set_num_threads(1)
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in environment.items()}, MASTER_ADDR="127.0.0.1")
    sys.exit(run(*arguments, recipe=recipe))


@pytest.mark.parametrize(
    ("parallel", "recipe"), [("ddp", "eva_clip_g14"), ("fsdp", "eva_clip_g14"), ("fsdp", "eva02_clip_l14")]
)
def test_two_processes_have_the_losses_and_weights_of_one(shards, tmp_path, parallel, recipe):
    options = [*SMALL, shards, "dataloader.train.dataset.on_error=skip"]
    assert run(*options, f"train.output_dir={tmp_path / 'one'}", recipe=recipe) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options += [f"train.parallel={parallel}", f"train.output_dir={tmp_path / 'two'}"]
    # The slow imports happen once, in the server that processes are forked from.
    mp.set_forkserver_preload(["eva_engine.training.launched_run", "eva_clip.data", "eva_clip.tokenizer"])
    mp.start_processes(process, args=(port, options, recipe), nprocs=2, start_method="forkserver")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (
        read_file(tmp_path / name / (tmp_path / name / "last_checkpoint").read_text())["model"]
        for name in ("one", "two")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name].reshape(value.shape), value, rtol=0, atol=1e-4, msg=name)
    # The logit scale, a scalar, has one more dimension in a sharded run.
    options.remove(f"train.parallel={parallel}")
    assert run("--resume", *options, "train.max_iter=5", recipe=recipe) == 0
    assert len(losses(tmp_path / "two")) == 5
