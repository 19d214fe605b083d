"""Damaged checkpoints are logged, and the previous one is used."""

import logging
import os

import pytest
import torch
from synthetic_states import assert_same, names, state_of

from eva_backbone.errors import InputError
from eva_engine.checkpoint import RunCheckpoints


def damage(path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "cut short":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = bytearray()
    elif kind == "gone":
        path.unlink()
        return
    else:
        at = {"bit of a weight": content.index(torch.full((9,), 3.0).numpy().tobytes()) + 2, "bit of the list": -30}
        content[at[kind]] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut short", "empty", "gone", "bit of a weight", "bit of the list"])
def test_a_damaged_checkpoint_is_logged_and_the_previous_one_used(kind, checkpoints, tmp_path, caplog):
    for number in (1, 2, 3):
        checkpoints.save(f"model_{number:07}", state_of(number))
    checkpoints.wait()
    modified = (tmp_path / "model_0000003.pth").stat().st_mtime_ns
    damage(tmp_path / "model_0000003.pth", kind)
    if kind != "gone":
        os.utime(tmp_path / "model_0000003.pth", ns=(modified, modified))
        with caplog.at_level(logging.WARNING):
            assert checkpoints.find_last() == tmp_path / "model_0000002.pth"
        assert "model_0000003.pth is not used" in caplog.text
    assert checkpoints.find_last() == tmp_path / "model_0000002.pth"
    for number in (1, 2):
        damage(tmp_path / f"model_{number:07}.pth", "cut short")
    with pytest.raises(InputError, match=r"has no intact checkpoint .*model_0000002"):
        checkpoints.find_last()


def test_every_flipped_bit_is_harmless_or_found(tmp_path):
    """Some bytes of a zip archive, such as dates, have no effect on the content; changing them is harmless."""
    checkpoints, path = RunCheckpoints(tmp_path, max_to_keep=1, asynchronous=False), tmp_path / "model_0000001.pth"
    checkpoints.save("model_0000001", state_of(1, size=20))
    content, found = path.read_bytes(), 0
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            checkpoints.find_last()
        except InputError:
            found += 1
        else:
            assert_same(checkpoints.load(path, {}), state_of(1, size=20))
    assert found > len(content) / 7 / 4


def test_last_checkpoint_that_is_gone(checkpoints, tmp_path):
    checkpoints.save("model_final", state_of(1))
    checkpoints.wait()
    (tmp_path / "model_final.pth").unlink()
    with pytest.raises(InputError, match=r"model_final\.pth: damaged or missing"):
        checkpoints.find_last()


def test_leftovers_are_removed_at_the_next_start(tmp_path):
    (tmp_path / ".model_0000001.abcd.partial.pth").write_bytes(b"half")
    (tmp_path / ".last_checkpoint.abcd.partial").write_bytes(b"mod")
    (tmp_path / ".config.abcd.partial.yaml").write_bytes(b"tr")
    (tmp_path / ".model_0000002.partial").mkdir()
    (tmp_path / ".model_0000002.partial" / "__0_0.distcp").write_bytes(b"half")
    (tmp_path / "log.txt").write_text("kept")
    assert RunCheckpoints(tmp_path, max_to_keep=1).find_last() is None
    assert names(tmp_path) == ["log.txt"]
