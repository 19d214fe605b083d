"""The training command in several processes on the CPU: same numbers as in one, sharded memory, signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data

from eva_engine.checkpoint import read_file

TOOL = CONFIGS.parents[2] / "tools" / "lazyconfig_train_net.py"
ITERATIONS = 6
# How the images are distributed over processes must not change the numbers. So every loss is a mean over images (all
# anchors and proposals are sampled, and each image has equally many), and nothing is random (no path is dropped).
RECIPE = [
    *TINY,
    *TINY_CASCADE,
    *TINY_TRAINING,
    "train.device=cpu",
    "train.amp.enabled=False",
    f"train.max_iter={ITERATIONS}",
    "optimizer.lr=1e-3",
    "train.ema.enabled=True",
    "train.ema.decay=0.5",
    "dataloader.train.total_batch_size=4",
    "dataloader.train.aspect_ratio_grouping=False",
    "model.backbone.net.drop_path_rate=0",
    "model.proposal_generator.batch_size_per_image=100000",
    "model.proposal_generator.nms_thresh=1.0",
    "model.proposal_generator.pre_nms_topk=[20,20]",
    "model.proposal_generator.post_nms_topk=[20,20]",
    "model.roi_heads.batch_size_per_image=1000",
    "model.roi_heads.positive_fraction=1.0",
    # An image with fewer instances than another would have fewer proposals.
    "model.roi_heads.proposal_append_gt=False",
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    json_file, images = write_data(tmp_path_factory.mktemp("data") / "own", masks=False, num_images=9)
    return ["--train-json", json_file, "--train-images", images, "--val-json", json_file, "--val-images", images]


def command(data, output, *overrides, flags=()):
    config = ["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py")]
    return [str(TOOL), *config, *flags, *data, *RECIPE, *overrides, f"train.output_dir={output}"]


def run(arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def losses(output):
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [line["total_loss"] for line in lines if "total_loss" in line]


@pytest.fixture(scope="module")
def single(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("single") / "run"
    run([sys.executable, *command(data, output)])
    return output


@pytest.fixture(scope="module")
def sharded(data, tmp_path_factory):
    """Two processes started by torchrun, each with half of every weight."""
    output = tmp_path_factory.mktemp("sharded") / "run"
    run([*TORCHRUN, *command(data, output, "train.parallel=fsdp", "train.accumulation_steps=2")])
    return output


def flags_for(num_processes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ["--num-gpus", str(num_processes), "--dist-url", f"tcp://127.0.0.1:{port}"]


def assert_same_run(output, expected):
    """Losses, weights and results up to the order in which gradients are summed.

    That order changes the last bits of float32; Adam divides by the gradient's size, which enlarges the difference
    where a gradient is nearly zero. Hence 1e-5 of the losses (about 5) and 1e-4 of the weights after six steps of 1e-3.
    """
    assert losses(output) == pytest.approx(losses(expected), rel=1e-5)
    for entry in ("model", "ema"):
        one, other = weights(output, entry), weights(expected, entry)
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=0, atol=1e-4, msg=name)
    results = [json.loads((folder / "results.json").read_text())["bbox"] for folder in (output, expected)]
    for name in ("AP", "AP50"):
        assert results[0][name] == pytest.approx(results[1][name], abs=0.5)


def weights(output, entry="model"):
    return read_file(output / (output / "last_checkpoint").read_text())[entry]


def test_two_processes_of_the_flags_give_the_losses_of_one(single, data, tmp_path):
    run([sys.executable, *command(data, tmp_path, "train.accumulation_steps=2", flags=flags_for(2))])
    assert_same_run(tmp_path, single)
    assert (tmp_path / "log.txt.rank1").is_file()


def test_two_processes_of_torchrun_with_a_sharded_model_give_the_losses_of_one(single, sharded):
    assert_same_run(sharded, single)


def test_each_process_holds_half_of_the_sharded_state(single, sharded):
    folder = sharded / "model_final"
    sizes = sorted(file.stat().st_size for file in folder.glob("*.distcp"))
    assert len(sizes) == 2
    unsharded = (single / "model_final.pth").stat().st_size
    assert sum(sizes) < 1.5 * unsharded  # every small tensor has a header
    assert 0.45 < sizes[0] / sum(sizes) <= 0.5


def test_sharded_run_is_resumed_in_a_single_process(sharded, data, tmp_path):
    """The learning rate is 0, so that the loaded weights can be compared."""
    output = tmp_path / "run"
    output.mkdir()
    for file in sharded.iterdir():
        if file.name in ("model_final", "last_checkpoint"):
            run(["cp", "-r", str(file), str(output)])
    overrides = ["train.parallel=fsdp", f"train.max_iter={ITERATIONS + 1}", "dataloader.train.total_batch_size=3"]
    run([sys.executable, *command(data, output, *overrides, "optimizer.lr=0", "train.seed=-1", flags=["--resume"])])
    log = (output / "log.txt").read_text()
    assert f"Resuming from {output}/model_final at iteration {ITERATIONS} of {ITERATIONS + 1}" in log
    for name, value in weights(sharded).items():
        torch.testing.assert_close(weights(output)[name], value, rtol=0, atol=0, msg=name)
    assert read_file(output / "model_final")["seed"] == 1  # the run keeps its own


def test_sharded_and_unsharded_checkpoints_are_resumed_as_each_other(single, sharded, data, tmp_path):
    outputs = []
    for source, parallel in ((single, "fsdp"), (sharded, "ddp")):
        output = tmp_path / parallel
        output.mkdir()
        names = [(source / "last_checkpoint").read_text(), "last_checkpoint"]
        run(["cp", "-r", *(str(source / name) for name in names), str(output)])
        overrides = [f"train.parallel={parallel}", f"train.max_iter={ITERATIONS + 2}"]
        run([*TORCHRUN, *command(data, output, *overrides, flags=["--resume"])])
        outputs.append(output)
    assert len(losses(outputs[0])) == 2
    assert losses(outputs[0]) == pytest.approx(losses(outputs[1]), rel=1e-5)


@pytest.fixture
def background():
    """Starts a command and kills all its processes at the end of the test."""
    started = []

    def start(arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            arguments, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_lines(file: Path, number: int, process: subprocess.Popen) -> None:
    while not file.is_file() or len(file.read_text().splitlines()) < number:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)


@pytest.mark.parametrize("starter", ["flags", "torchrun"])
def test_signal_to_the_starter_saves_and_ends_all_processes(starter, data, tmp_path, background):
    if starter == "flags":
        before, flags = [sys.executable], flags_for(2)
    else:
        before, flags = TORCHRUN, []
    arguments = [*before, *command(data, tmp_path, "train.max_iter=500", flags=flags)]
    process = background(arguments)
    wait_for_lines(tmp_path / "metrics.json", 3, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=400)
    saved = read_file(tmp_path / (tmp_path / "last_checkpoint").read_text())
    assert saved["iteration"] == len(losses(tmp_path)) - 1 < 499
    assert saved["random"].keys() == {"0", "1"}
    if starter == "flags":
        assert process.returncode == 0


def test_torchrun_resumes_the_run_after_a_process_is_killed(single, data, tmp_path, background):
    arguments = command(data, tmp_path, "train.checkpointer.period=1")
    arguments = [*TORCHRUN, "--max-restarts=1", *arguments]
    process = background(arguments)
    wait_for_lines(tmp_path / "last_checkpoint", 1, process)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert "Resuming from" in (tmp_path / "log.txt").read_text()
    assert_same_run(tmp_path, single)
