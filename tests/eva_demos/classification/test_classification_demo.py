"""The classification demo from end to end, for a few iterations."""

import json

import pytest

from eva_demos.classification import demo
from eva_engine.commands import predict


def test_two_iterations_give_weights_and_both_accuracies(tmp_path, capsys):
    output = tmp_path / "demo"
    (output / "data").mkdir(parents=True)
    (output / "notes.txt").write_text("the user's own")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0
    printed = capsys.readouterr().out
    assert "contains the results of an earlier run, which are replaced" in printed
    assert printed.count("%") >= 2
    assert "1,000 held-out digits" in printed
    assert printed.rstrip().endswith(str(output / "finetuned/index.html"))
    for name in ("finetuned", "scratch"):
        accuracy = json.loads((output / name / "results.json").read_text())["accuracy"]["top1"]
        assert f"{accuracy:.1f}%" in printed
        assert "accuracy over 1000 images" in (output / "log.txt").read_text()
    assert -1 <= json.loads((output / "pretrained/results.json").read_text())["mim"]["loss"] <= 1
    log = (output / "log.txt").read_text()
    assert str(output / "pretrained/model_final.pth") in log
    html = (output / "finetuned/index.html").read_text(encoding="utf-8")
    assert "from scratch" in html
    assert (output / "notes.txt").read_text() == "the user's own"

    # What it leaves can be used: the recipe, the weights, the images.
    arguments = ["--config-file", str(output / "scratch/config.yaml")]
    arguments += ["--weights", str(output / "scratch/model_final.pth"), "--input", str(output / "data/7")]
    assert predict.main([*arguments, "--output", str(tmp_path / "classes")]) == 0
    assert "images: 100, videos: 0, frames: 0, failed: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tuned", "scratch", "sentence"),
    [
        (
            95.0,
            90.0,
            "Pre-training and fine-tuning was better, by 50 of 1,000 images; that is more than chance can explain",
        ),
        (90.0, 95.0, "Training from scratch was better, by 50 of 1,000 images; that is more than chance can explain"),
        (
            95.0,
            94.5,
            "Pre-training and fine-tuning was better, by 5 of 1,000 images; that is not more than chance can explain",
        ),
        (95.0, 95.0, "Both ways were equally good."),
    ],
)
def test_the_verdict_follows_the_figures(tuned, scratch, sentence):
    def trained(top1: float):
        return demo.Trained(None, {"accuracy": {"top1": top1}}, 20.0, 20.0)

    lines = demo.verdict({"pretrained": trained(0), "finetuned": trained(tuned), "scratch": trained(scratch)})
    assert lines[-1].startswith(sentence)
    assert lines[1].endswith("40 s")
    assert lines[2].endswith("20 s")


def test_zero_iterations_are_refused_before_anything_is_removed(tmp_path, capsys):
    (tmp_path / "index.html").write_text("x")
    with pytest.raises(SystemExit) as ended:
        demo.main(["--output", str(tmp_path), "--iterations", "0"])
    assert ended.value.code == 2
    assert "--iterations: invalid positive number value: '0'" in capsys.readouterr().err
    assert (tmp_path / "index.html").exists()
