"""Checkpoints of a run are restored, kept by count and written asynchronously."""

import os
import threading

import pytest
import torch
from synthetic_states import assert_same, names, state_of

from eva_backbone.errors import InputError
from eva_engine.checkpoint import RunCheckpoints, read_weights


def test_a_saved_state_is_restored(checkpoints, tmp_path):
    checkpoints.save("model_0000001", state_of(1))
    path = checkpoints.find_last()
    assert path == tmp_path / "model_0000001.pth"
    assert_same(checkpoints.load(path, {}), state_of(1))
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    assert next(iter(torch.load(path, weights_only=True))) == "model"
    assert_same(read_weights(path), state_of(1)["model"])


def test_training_continues_while_old_values_are_written(tmp_path, monkeypatch):
    checkpoints, state, changed = RunCheckpoints(tmp_path, max_to_keep=3), state_of(1), threading.Event()
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *arguments: changed.wait(20) and save(*arguments))
    for number in (1, 2):  # the second save reuses the memory of the first
        changed.clear()
        checkpoints.save(f"model_{number:07}", state)
        expected = state_of(1) if number == 1 else state_of(2)
        state["model"]["a.weight"].fill_(2)
        state["model"]["a.bias"].copy_(torch.tensor([1.0, 2.0]))
        state["optimizer"]["state"]["a.weight"]["exp_avg"].fill_(-2)
        state["random"][1][0], state["iteration"] = 2, 2
        changed.set()
        checkpoints.wait()
        assert_same(checkpoints.load(tmp_path / f"model_{number:07}.pth", {}), expected)


def test_buffers_are_reused_if_shapes_match(tmp_path):
    checkpoints = RunCheckpoints(tmp_path, max_to_keep=9)
    checkpoints.save("model_0000001", state_of(1))
    checkpoints.wait()
    buffer = checkpoints._copier._buffers["model", "a.weight"].data_ptr()
    checkpoints.save("model_0000002", state_of(2))
    checkpoints.wait()
    assert checkpoints._copier._buffers["model", "a.weight"].data_ptr() == buffer
    for number, size in enumerate((1000, 7), start=3):
        checkpoints.save(f"model_{number:07}", state_of(number, size))
        assert_same(checkpoints.load(checkpoints.find_last(), {}), state_of(number, size))


def test_tied_weights_are_stored_once(checkpoints):
    tied = torch.randn(10000)
    checkpoints.save("model_0000001", {"model": {"a": tied, "b": tied.detach(), "c": tied[:5]}})
    path = checkpoints.find_last()
    assert path.stat().st_size < 1.5 * tied.nbytes
    assert_same(read_weights(path), {"a": tied, "b": tied, "c": tied[:5]})


def test_old_ones_are_deleted_by_count(checkpoints, tmp_path):
    checkpoints.save("model_best", state_of(0), counted=False)
    for number in range(5):
        checkpoints.save(f"model_{number:07}", state_of(number))
    checkpoints.save("model_final", state_of(5))
    checkpoints.save("model_best", state_of(6), counted=False)
    assert checkpoints.find_last().name == "model_final.pth"
    numbered = [f"model_{number:07}.pth" for number in (2, 3, 4)]
    assert names(tmp_path) == ["last_checkpoint", *numbered, "model_best.pth", "model_final.pth"]


def test_copies_are_found_in_the_order_of_their_numbers(checkpoints, tmp_path):
    """Modification times are ignored, since copying changes them; `last_checkpoint` comes first."""
    for number in (7, 9, 8):
        checkpoints.save(f"model_{number:07}", state_of(number))
    assert checkpoints.find_last().name == "model_0000008.pth"
    (tmp_path / "last_checkpoint").unlink()
    assert checkpoints.find_last().name == "model_0000009.pth"
    checkpoints.save("model_final", state_of(10))
    assert checkpoints.find_last().name == "model_final.pth"
    damage = tmp_path / "model_final.pth"
    damage.write_bytes(damage.read_bytes()[:-100])
    assert checkpoints.find_last().name == "model_0000009.pth"


def test_the_earlier_one_stays_until_the_new_one_is_complete(tmp_path, monkeypatch):
    checkpoints = RunCheckpoints(tmp_path, max_to_keep=1)
    checkpoints.save("model_0000001", state_of(1))
    checkpoints.wait()
    seen = []

    def publish(source, target):
        seen.append((os.path.basename(target), names(tmp_path)))
        os.rename(source, target)

    monkeypatch.setattr("eva_engine.atomic.os.replace", publish)
    checkpoints.save("model_0000002", state_of(2))
    checkpoints.wait()
    assert [name for name, _ in seen] == ["model_0000002.pth", "last_checkpoint"]
    assert "model_0000001.pth" in seen[1][1]
    assert "model_0000002.pth" in seen[1][1]
    assert names(tmp_path) == ["last_checkpoint", "model_0000002.pth"]


def test_no_checkpoint(checkpoints, tmp_path):
    assert checkpoints.find_last() is None
    assert names(tmp_path) == []


@pytest.mark.parametrize("max_to_keep", [0, -1])
def test_keeping_none_is_refused(max_to_keep, tmp_path):
    with pytest.raises(InputError, match=r"train\.checkpointer\.max_to_keep is"):
        RunCheckpoints(tmp_path, max_to_keep=max_to_keep)
