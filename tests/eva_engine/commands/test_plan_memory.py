"""The command: what it prints and its exit status."""

import pytest

from benchmarks.plan_memory import CONFIG, SMALL
from eva_engine.commands import plan_memory
from eva_engine.config import load_config
from eva_engine.memory import MemoryPlanner

SETTINGS = [
    *SMALL,
    "model.backbone.square_pad=128",
    "model.roi_heads.batch_size_per_image=16",
    "dataloader.train.total_batch_size=2",
]


@pytest.fixture(scope="module")
def command():
    return lambda *options: plan_memory.main(["--config-file", CONFIG, *options, *SETTINGS, *EXTRA])


EXTRA = ["train.device=cuda"]


def test_a_recipe_that_fits(command, capsys):
    assert command("--objects", "8", "--gpu-memory", "24GB", "--resolutions", "128", "192") == 0
    printed = capsys.readouterr().out
    assert "It fits 24.0 GB." in printed
    assert "reserve" in printed
    assert "2 image(s) of 128 x 128 pixels" in printed


def test_a_recipe_that_does_not_fit(command, capsys):
    assert command("--objects", "8", "--gpu-memory", "1.01GB") == 1
    printed = capsys.readouterr().out
    assert "It does not fit 1.0 GB." in printed
    assert "train.parallel=fsdp train.fsdp.cpu_offload=True" in printed


def test_table_of_ranks(command, capsys):
    assert command("--objects", "8", "--ranks", "1", "4") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["1", "4"]


def test_apply_writes_the_recipe_that_fits(command, capsys, tmp_path):
    file = tmp_path / "it fits.yaml"
    assert command("--objects", "8", "--gpu-memory", "24GB", "--apply", str(file)) == 0
    assert f"The recipe that fits: --config-file '{file}'" in capsys.readouterr().out
    assert load_config(str(file)).dataloader.train.total_batch_size == 2
    peak = plan_of(file)
    limit = f"{(peak - 10**6) / 1e9 + 1:.6f}GB"  # a little less than it needs, with the reserve
    assert command("--objects", "8", "--gpu-memory", limit, "--apply", str(file)) == 0
    assert "It does not fit" in capsys.readouterr().out
    assert plan_of(file) <= peak - 10**6
    file.unlink()
    assert command("--objects", "8", "--gpu-memory", "1.0001GB", "--apply", str(file)) == 1
    assert not file.exists()


def plan_of(file):
    return MemoryPlanner(num_objects=8).plan(load_config(str(file))).peak


def test_apply_needs_a_memory_and_a_yaml_file(command, capsys):
    for options in (["--apply", "a.yaml"], ["--apply", "a.py", "--gpu-memory", "24GB"]):
        with pytest.raises(SystemExit):
            command(*options)
        assert "--apply takes the name of a .yaml file to write, and needs --gpu-memory" in capsys.readouterr().err


def test_learning_rates_are_mentioned(command, capsys):
    assert command("--objects", "8") == 0
    assert (
        "not scaled, although the batch is 2 instead of 64; train.lr_batch_size=64 multiplies"
        in capsys.readouterr().out
    )
    EXTRA.append("train.lr_batch_size=8")
    try:
        assert command("--objects", "8") == 0
    finally:
        EXTRA.pop()
    assert "learning rates: x 0.25, for a batch of 2 instead of 8 (train.lr_batch_size)" in capsys.readouterr().out


def test_largest_batch_that_fits(command, capsys):
    EXTRA.append("train.auto_batch=4")
    try:
        assert command("--objects", "8") == 2
        assert "train.auto_batch is planned for --gpu-memory, which is missing" in capsys.readouterr().err
        assert command("--objects", "8", "--gpu-memory", "24GB") == 0
    finally:
        EXTRA.pop()
    printed = capsys.readouterr().out
    assert "train.auto_batch=4: dataloader.train.total_batch_size=4\n" in printed
    assert "4 image(s) of 128 x 128 pixels" in printed


def test_a_misspelt_key_is_reported_in_one_sentence(command, capsys):
    EXTRA.append("train.acumulation_steps=2")
    try:
        assert command() == 2
    finally:
        EXTRA.pop()
    assert "did you mean train.accumulation_steps?" in capsys.readouterr().err


def test_a_batch_size_that_training_refuses_is_refused(command, capsys):
    assert command("--num-gpus", "3") == 2
    assert "total_batch_size=2 cannot be split among 3 processes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["24", "many GB", "0GB", "-3GB"])
def test_invalid_memory_is_refused(command, text):
    with pytest.raises(SystemExit) as stopped:
        command("--gpu-memory", text)
    assert stopped.value.code == 2
