"""Runs of a small video classifier: training on K722, fine-tuning from it, evaluation in views, exact resume."""

import json
from pathlib import Path

import pytest
import torch
from yacs.config import CfgNode

from eva_backbone import VisionTransformer
from eva_engine.checkpoint import build_and_load
from eva_engine.commands.train import main
from eva_video import create_video_classifier

CONFIGS = Path(__file__).parents[2] / "projects" / "Video" / "configs"
SIZE = {"embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 4.0, "img_size": 28}
SMALL = [
    *(f"model.{name}={value}" for name, value in SIZE.items()),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    *("train.device=cpu", "train.amp.enabled=False", "train.log_period=1", "train.max_iter=2"),
    *("train.eval_period=0", "train.checkpointer.period=1", "lr_multiplier.warmup_iters=0"),
]


def run(name: str, folder: Path, *arguments: str) -> int:
    options = [argument for argument in arguments if argument.startswith("--")]
    changes = [argument for argument in arguments if not argument.startswith("--")]
    config = ["--config-file", str(CONFIGS / f"{name}.py")]
    return main([*config, *options, *SMALL, f"train.output_dir={folder}", *changes])


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [line["total_loss"] for line in lines if "total_loss" in line]


def test_training_starts_from_an_image_model_and_resumes_exactly(kinetics):
    """Mixed clips, recomputed blocks, then one view of each video."""
    torch.save({"module": VisionTransformer(**SIZE).state_dict()}, kinetics / "image.pt")
    start = f"train.init_checkpoint={kinetics / 'image.pt'}"
    validation = "train.validation_loss=True"
    assert run("kinetics722", kinetics / "uninterrupted", start, "model.num_frames=4", validation) == 0
    assert "validation/total_loss" in (kinetics / "uninterrupted/metrics.json").read_text()
    log = (kinetics / "uninterrupted/log.txt").read_text()
    assert "accuracy over 4 videos" in log
    assert losses(kinetics / "uninterrupted")[0] == pytest.approx(6.58, abs=0.01)  # ln 722

    assert run("kinetics722", kinetics / "resumed", start, "model.num_frames=4") == 0
    (kinetics / "resumed/model_final.pth").unlink()
    (kinetics / "resumed/last_checkpoint").write_text("model_0000000.pth")
    assert run("kinetics722", kinetics / "resumed", "model.num_frames=4", "--resume") == 0
    assert losses(kinetics / "resumed")[-2:] == losses(kinetics / "uninterrupted")
    ends = [torch.load(kinetics / f"{name}/model_final.pth")["model"] for name in ("uninterrupted", "resumed")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_fine_tuning_starts_from_k722_and_averages_twelve_views(kinetics):
    torch.manual_seed(0)
    union = create_video_classifier("eva_tiny_patch14_video", num_classes=722, num_frames=4, **SIZE)
    torch.nn.init.normal_(union.head.weight)
    # As published files are wrapped.
    torch.save({"model": union.state_dict(), "config": CfgNode({"MODEL": {"ARCH": "x"}})}, kinetics / "k722.pth")
    start = [f"train.init_checkpoint={kinetics / 'k722.pth'}", "model.num_frames=8", "train.accumulation_steps=2"]
    assert run("kinetics400", kinetics / "run", *start) == 0
    log = (kinetics / "run/log.txt").read_text()
    assert "accuracy over 4 videos in 12 views each" in log
    rates = [
        json.loads(line)["lr"] for line in (kinetics / "run/metrics.json").read_text().splitlines() if "lr" in line
    ]
    assert set(rates) == {1e-6}

    weights = f"train.init_checkpoint={kinetics / 'run/model_final.pth'}"
    assert run("kinetics400", kinetics / "again", weights, "model.num_frames=8", "--eval-only") == 0
    found = [json.loads((kinetics / f"{name}/results.json").read_text()) for name in ("run", "again")]
    assert found[0] == found[1]


def test_a_published_file_into_the_model_of_another_set(tmp_path):
    """Positions in time and rows of the head, through the loading of files."""
    from detectron2.config import instantiate

    from eva_engine.config import load_config
    from eva_video import rows_of_k722

    union = create_video_classifier("eva_tiny_patch14_video", num_classes=722, num_frames=4, **SIZE)
    torch.nn.init.normal_(union.head.weight)
    torch.save({"model": union.state_dict(), "config": CfgNode({"A": 1})}, tmp_path / "k722.pth")
    cfg = load_config(str(CONFIGS / "kinetics600.py"), [*SMALL[:5], "model.num_frames=8"])
    model, report = build_and_load(lambda: instantiate(cfg.model), tmp_path / "k722.pth")
    assert sorted(change.name for change in report.resized) == ["head.bias", "head.weight", "pos_embed"]
    assert [report.skipped, report.missing, report.unused] == [[], [], []]
    assert torch.equal(model.head.weight, union.head.weight[rows_of_k722("k600")])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["model.num_classes=2"], "has 3 classes, the model only 2"),
        (["dataloader.train.dataset.annotations=nowhere.txt"], "nowhere.txt: no such list of videos"),
        (["dataloader.test.mapper.frame_sampler.mode=other"], "the mode of the clips is 'other'"),
    ],
)
def test_mistakes_are_one_sentence(kinetics, capsys, change, sentence):
    assert run("kinetics400", kinetics / "run", "dataloader.evaluator.num_crops=3", *change) == 2
    assert sentence in capsys.readouterr().err
