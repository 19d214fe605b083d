"""What works with the base dependencies alone: backbone, classifier, weight files, readers, the table of commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from eva_engine.commands.missing_package import how_to_install

ROOT = Path(__file__).parent.parent
# Packages that the extras add and that no base package depends on.
ABSENT = (
    "detectron2 av cloudpickle cv2 fvcore hotcoco hydra iopath matplotlib omegaconf open_clip peft pycocotools shapely "
    "tabulate tensorboard termcolor transformers yacs"
)
BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}.split():
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
"""
# After timm: torch asks for all sorts of packages while it is imported.
BLOCK += "import torch, timm; sys.meta_path.insert(0, Absent())\n"


def run(code: str, folder: Path, *arguments: str, absent: str = ABSENT) -> subprocess.CompletedProcess:
    path = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(absent=absent) + code, *arguments],
        cwd=folder,
        env=path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_an_image_is_classified(tmp_path):
    code = (ROOT / ".ci" / "classify_in_python.py").read_text()
    ended = run(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("class ")


COMMANDS = """
import eva_clip, eva_semseg, eva_video
from eva_engine.commands.verbs import main
assert main([]) == 0
for verb in ("train", "evaluate", "plan"):
    assert main([verb, "--config-file", "projects/Classification/configs/in1k_336.py"]) == 2
"""


def test_models_import_and_commands_say_how_to_install_detectron2(tmp_path):
    ended = run(COMMANDS, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "demo-segmentation" in ended.stdout
    lines = ended.stderr.splitlines()
    assert [line.partition(" and its dependencies, and ")[0] for line in lines] == [
        f"error: {verb} needs Detectron2" for verb in ("train", "evaluate", "plan")
    ]
    assert "-r requirements/detectron2.txt" in lines[0]
    assert (ROOT / "requirements/detectron2.txt").is_file()


READERS = """
import numpy as np, torch
from PIL import Image
from eva_engine.checkpoint import RunCheckpoints, build_and_load, load_checkpoint, read_file, read_weights
from eva_engine.data import EvalLoader, build_train_loader, dataset_root, worker_failure
from eva_engine.prediction import Categories, FileTask, list_inputs, predict_files, read_categories, read_rgb_image
from eva_engine.prediction import colors, inputs, json_text

Image.new("RGB", (6, 4), (250, 0, 0)).save("photo.png")
open("names.txt", "w").write("cat\\ndog\\n")
assert read_categories("names.txt").names == ("cat", "dog")
(photo,) = list_inputs(["photo.png"], "out").inputs
assert photo.kind == "image"

def mapper(record):
    return {"file_name": record["file_name"], "image": torch.from_numpy(read_rgb_image(record["file_name"]))}

(batch,) = EvalLoader([{"file_name": str(photo.path)}], mapper=mapper)
assert batch[0]["image"].shape == (4, 6, 3) and batch[0]["image"][0, 0].tolist() == [250, 0, 0]
assert json_text.to_json(batch[0]["file_name"]) == '"photo.png"'

weights = {"w": torch.ones(3)}
checkpoints = RunCheckpoints("run", max_to_keep=1)
checkpoints.save("model_0000001", {"model": weights, "iteration": 1})
assert torch.equal(read_weights(checkpoints.find_last())["w"], weights["w"])
"""


def test_files_are_read_and_checkpoints_written(tmp_path):
    ended = run(READERS, tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_videos_are_read_with_only_pyav_in_addition(tmp_path):
    pytest.importorskip("av")
    code = """
from fractions import Fraction
import numpy as np
from eva_engine.prediction.video import VideoReader, VideoWriter
with VideoWriter("clip.mp4", 64, 48, Fraction(10), Fraction(1, 1000)) as writer:
    for number in range(3):
        writer.write(np.full((48, 64, 3), 80 * number, np.uint8), 100 * number)
with VideoReader("clip.mp4") as reader:
    assert [frame.image.shape for frame in reader] == [(48, 64, 3)] * 3
"""
    absent = " ".join(name for name in ABSENT.split() if name != "av")
    ended = run(code, tmp_path, absent=absent)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("missing", "expected"), [("open_clip.tokenizer", "the package open_clip"), ("eva_clip.lost", None), (None, None)]
)
def test_a_missing_package_is_named(missing, expected):
    advice = how_to_install(ModuleNotFoundError("No module", name=missing))
    assert advice is expected is None or expected in advice
