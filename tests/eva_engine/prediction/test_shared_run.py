"""Processes that torchrun has started share the inputs, and write what a single process writes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# A task that needs no model: it writes the mean of each image, one file per image and one for all.
SCRIPT = """
import sys, time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from eva_backbone.errors import InputError
from eva_engine.commands.cli import run_command
from eva_engine.prediction import FileTask, list_inputs, predict_files
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.shared_run import shared_by_torchrun
from eva_engine.prediction.result import Result
from eva_engine.processes import get_rank


@dataclass(eq=False, repr=False, kw_only=True)
class Mean(Result):
    value: float

    def summary(self): return str(self.value)
    def records(self): return [{"mean": self.value}]
    def to_dict(self): return {"image": self.path, "mean": self.value}
    def _draw(self, image): return image


class Means(ImagePredictor):
    num_dark = 0

    def remarks(self): return super().remarks() + Counter({"{} dark images": self.num_dark})

    def prepare(self, image, path=""):
        return ImageSample(path, image, image.shape[:2], float(image.mean()))

    def predict(self, samples):
        if any(sample.inputs > 200 for sample in samples):
            raise InputError("too bright")
        if "slow" in sys.argv and get_rank() == 1 and any(s.path.endswith("07.png") for s in samples):
            Path(sys.argv[2], "waiting").touch()
            time.sleep(60)
        self.num_dark += sum(sample.inputs < 100 for sample in samples)
        return [Mean(path=s.path, image=s.image, class_names=(), value=s.inputs) for s in samples]


class Task(FileTask):
    def open(self, stack):
        self.write_line = stack.enter_context(json_lines(self.folder / "means.jsonl"))

    def write(self, item, result):
        result.save(self.folder / f"{item.stem}.json")
        self.counts["files"] += 1

    def collect(self, item, result):
        assert (result.image is None) == (get_rank() == 0 and "RANK" in __import__("os").environ)
        self.write_line(result.to_dict())


def main():
    source, output = sys.argv[1:3]
    with shared_by_torchrun("cpu"):
        task = Task(Means())
        task.predictor.batch_size = 2
        done = predict_files(task, list_inputs([source], output).inputs, output)
        if get_rank() == 0:
            print(dict(done.counts), done.failures, task.notes())

sys.exit(run_command(main))
"""


@pytest.fixture
def script(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(11):
        value = 255 if number == 4 else 10 * number
        Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(tmp_path / f"in/{number:02}.png")
    (tmp_path / "in/03.png").write_bytes(b"damaged")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "script.py"


def test_outputs_are_those_of_a_single_process(script, tmp_path):
    printed = []
    for start, output in (([sys.executable], "one"), (TORCHRUN, "two")):
        command = [*start, str(script), str(tmp_path / "in"), str(tmp_path / output)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        printed.append(done.stdout)
        assert done.stderr.count("failed: ") == 2
    assert printed[0] == printed[1]
    assert printed[0].startswith("{'images': 9, 'files': 9} [")
    assert printed[0].endswith("['8 dark images']\n")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert [json.loads(line)["mean"] for line in one["means.jsonl"].splitlines()] == [
        0,
        10,
        20,
        50,
        60,
        70,
        80,
        90,
        100,
    ]


def test_an_interruption_keeps_the_finished_results_of_all_processes(script, tmp_path):
    output = tmp_path / "out"
    command = [*TORCHRUN, str(script), str(tmp_path / "in"), str(output), "slow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path)
    while not (output / "waiting").exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    lines = (output / "means.jsonl").read_text().splitlines()
    # Rank 0 has finished its images; rank 1 has waited in the second of its batches.
    assert [json.loads(line)["mean"] for line in lines] == [0, 10, 20, 50, 60, 80, 100]
    assert not list(output.glob(".parts-*"))
    assert os.path.exists(output / "01.json")
