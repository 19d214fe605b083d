"""The figures of the demos are found in their output."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import demos
from benchmarks.demos import BFLOAT16, DEMOS, EVALUATIONS, TTA, evaluate_again, read_text
from eva_demos.classification import demo as classification
from eva_demos.clip import demo as clip
from eva_demos.demo_run import Trained
from eva_demos.detection import demo as detection
from eva_demos.segmentation import demo as segmentation
from eva_demos.video import demo as video
from eva_engine.commands.verbs import find_verbs


def detection_text(capsys: pytest.CaptureFixture) -> str:
    scores = {task: {"AP": ap, "AP50": 99.0, "AP75": 98.0} for task, ap in (("bbox", 80.12), ("segm", 87.0))}
    others = {task: {"AP": ap, "AP50": 50.0, "AP75": 9.0} for task, ap in (("bbox", 20.4), ("segm", 21.0))}
    detection._print_results({detection.HELDOUT_NAME: scores, detection.NUCLEI_NAME: others}, 143.6, None)
    return capsys.readouterr().out


def classification_text(_: pytest.CaptureFixture) -> str:
    runs = {
        name: Trained(None, {"accuracy": {"top1": top1}}, 60.0, seconds)
        for name, top1, seconds in (
            (classification.PRETRAINED, 0.0, 20.0),
            (classification.FINETUNED, 93.1, 30.0),
            (classification.SCRATCH, 93.5, 49.0),
        )
    }
    return "\n".join(classification.verdict(runs))


def clip_text(_: pytest.CaptureFixture) -> str:
    each = {"a {}": 59.0, "the {}": 88.0}
    results = {clip.TRAINING: {"top1": 89.0}, clip.HELDOUT: {"top1": 87.6}, clip.EACH: each}
    return "\n".join(clip.verdict(results)) + "\n\n82 s; figures: results.json"


def video_text(_: pytest.CaptureFixture) -> str:
    labels = np.arange(6)
    return "\n".join(video.verdict(np.eye(6)[labels], labels)) + "\nProcessor time: 71 s"


def segmentation_text(capsys: pytest.CaptureFixture) -> str:
    scores = {"mIoU": 90.2, "mAcc": 95.0, "aAcc": 98.0}
    scores |= {"IoU-background": 98.6, "IoU-nucleus": 88.8, "IoU-bacterium": 83.2}
    segmentation._print_results(scores, 76.0, None)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        ("detection", detection_text, [80.1, 87.0, 20.4, 21.0, 144.0]),
        ("classification", classification_text, [93.1, 50.0, 93.5, 49.0]),
        ("clip", clip_text, [89.0, 87.6, 59.0, 88.0, 82.0]),
        ("video", video_text, [100.0, 100.0, 100.0, 71.0]),
        ("segmentation", segmentation_text, [90.2, 88.8, 83.2, 76.0]),
    ],
)
def test_figures_of_a_demo(task, text, expected, capsys):
    figures = read_text(task, text(capsys))
    assert [figure.ours for figure in figures] == expected


def test_video_figures_include_the_rate_of_guessing(capsys):
    samples, directions, speeds, _ = read_text("video", video_text(capsys))
    assert (samples.peer, samples.theirs, directions.theirs, speeds.theirs) == ("guessing", 16.7, 50.0, 33.3)


def test_a_missing_figure_is_named():
    with pytest.raises(ValueError, match="the demo of detection printed no box AP of held-out tiles"):
        read_text("detection", "nothing")


def test_every_demo_is_a_verb():
    demos = {name for name in find_verbs() if name.startswith("demo-")}
    assert demos == {f"demo-{task}" for task in DEMOS}


def test_every_demo_is_evaluated_in_bfloat16():
    assert EVALUATIONS.keys() == DEMOS.keys()


@pytest.mark.parametrize("variant", [BFLOAT16, TTA])
def test_results_of_a_variant_are_compared_with_those_of_the_run(variant, tmp_path, monkeypatch):
    def evaluate(verb: str, *options: str, **_: str) -> str:
        assert verb == "evaluate"
        assert options[:4] == (
            "--config-file",
            f"{tmp_path}/run/config.yaml",
            "--weights",
            f"{tmp_path}/run/model_final.pth",
        )
        assert options[4:-1] == variant.options
        write(Path(options[-1].removeprefix("train.output_dir=")), 87.5)
        return ""

    def write(folder: Path, top1: float) -> None:
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps({"zero_shot": {"top1": top1}}))

    write(tmp_path / "run", 87.6)
    monkeypatch.setattr(demos, "_run_tool", evaluate)
    (figure,) = evaluate_again("clip", tmp_path, variant)
    assert (figure.quantity, figure.ours, figure.peer, figure.theirs) == ("top-1", 87.5, variant.peer, 87.6)
