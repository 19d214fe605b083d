"""A training process that is killed at any moment is resumed to the same results."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data

from eva_engine.checkpoint import read_file

ITERATIONS, NUM_KILLS = 14, 20
# Drop path, augmentation and the sampling of proposals draw random numbers in every iteration.
RECIPE = [
    *TINY,
    *TINY_CASCADE,
    *TINY_TRAINING,
    f"train.max_iter={ITERATIONS}",
    "train.checkpointer.period=1",
    "train.checkpointer.max_to_keep=3",
    "train.checkpointer.best_metric=bbox/AP",
    "train.eval_period=4",
    "train.validation_loss=True",
    "train.accumulation_steps=2",
    "optimizer.lr=1e-3",
    "train.ema.enabled=True",
    "train.ema.evaluate=True",
    "dataloader.train.total_batch_size=4",
    "model.backbone.net.drop_path_rate=0.3",
]
# Metrics that depend on the clock or the machine.
MEASURED = {"time", "data_time", "eta_seconds", "images_per_second", "data_share", "peak_memory_gib", "rank_data_time"}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    json_file, images = write_data(tmp_path_factory.mktemp("data") / "own", masks=False, num_images=6)
    data = ["--train-json", json_file, "--train-images", images, "--val-json", json_file, "--val-images", images]
    return ["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py"), "--resume", *data]


@pytest.fixture(scope="module")
def start(command):
    """Starts the training command in a process of its own, which has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training_process"])

    def start(output: Path) -> multiprocessing.Process:
        import training_process

        arguments = [*command, *RECIPE, f"train.output_dir={output}"]
        process = context.Process(target=training_process.run, args=(arguments, str(output) + ".txt"))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    output = tmp_path_factory.mktemp("uninterrupted") / "run"
    begin = time.perf_counter()
    process = start(output)
    process.join()
    assert process.exitcode == 0, Path(str(output) + ".txt").read_text()
    return output, time.perf_counter() - begin


def metrics(output):
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def weights(output):
    return read_file(output / "model_final.pth")


def assert_equal(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


def test_run_killed_at_random_moments_equals_an_uninterrupted_one(start, uninterrupted, tmp_path):
    expected, seconds = uninterrupted
    rng = random.Random(0)
    num_kills = num_runs = 0
    while num_kills < NUM_KILLS or num_runs == 0:
        output = tmp_path / f"run{num_runs}"
        finished = False
        while not finished:
            process = start(output)
            process.join(timeout=rng.uniform(0.2, 0.7) * seconds if num_kills < NUM_KILLS else None)
            finished = process.exitcode is not None
            if finished:
                assert process.exitcode == 0, Path(str(output) + ".txt").read_text()
            else:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                num_kills += 1
        num_runs += 1
        assert metrics(output) == metrics(expected)
        assert_equal(weights(output), weights(expected))
        assert_equal(read_file(output / "model_best.pth"), read_file(expected / "model_best.pth"))
        assert (output / "results.json").read_text() == (expected / "results.json").read_text()
        assert not list(output.glob(".*partial*"))
        assert len(list(output.glob("model_0*"))) <= 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_saves_and_ends_the_run_cleanly(number, start, uninterrupted, tmp_path):
    expected, _ = uninterrupted
    output = tmp_path / "run"
    process = start(output)
    while not (output / "metrics.json").is_file() or len((output / "metrics.json").read_text().splitlines()) < 3:
        time.sleep(0.05)
        assert process.is_alive()
    os.kill(process.pid, number)
    process.join()
    log = (output / "log.txt").read_text()
    assert process.exitcode == 0
    assert f"{signal.Signals(number).name}: stopping after this iteration" in log
    saved = read_file(output / (output / "last_checkpoint").read_text())["iteration"]
    assert saved == metrics(output)[-1]["iteration"] < ITERATIONS - 1
    process = start(output)
    process.join()
    assert metrics(output) == metrics(expected)
    assert_equal(weights(output), weights(expected))


def test_damaged_checkpoints_are_reported_and_the_one_before_is_used(start, uninterrupted, tmp_path):
    """The run is resumed after an evaluation that is not repeated, so evaluations must not change random numbers."""
    expected, _ = uninterrupted
    output = tmp_path / "run"
    output.mkdir()
    for file in expected.iterdir():
        if file.name.startswith(("model_", "last", "metrics")):
            (output / file.name).write_bytes(file.read_bytes())
    damaged = [output / "model_final.pth", output / f"model_{ITERATIONS - 2:07d}.pth"]
    for file in damaged:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    process = start(output)
    process.join()
    log = (output / "log.txt").read_text()
    assert process.exitcode == 0, log
    assert all(f"{file} is damaged" in log for file in damaged)
    assert f"Resuming from {output}/model_{ITERATIONS - 3:07d}.pth at iteration {ITERATIONS - 2}" in log
    assert metrics(output) == metrics(expected)
    assert_equal(weights(output), weights(expected))
