"""The command: what it prints and its exit status."""

import pytest

from benchmarks.plan_memory import CONFIG, SMALL
from eva_engine.commands import plan_memory

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
