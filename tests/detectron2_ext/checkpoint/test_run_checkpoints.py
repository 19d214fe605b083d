import argparse
import errno
import logging
import os
import shutil
import subprocess
import threading

import pytest
import torch

from detectron2_ext.checkpoint import RunCheckpoints, disk_space, file_checkpoint, read_weights
from eva_backbone.errors import InputError


def state_of(number: int, size: int = 1000) -> dict:
    weights = {"a.weight": torch.full((size,), float(number)), "a.bias": torch.tensor([1.0, number])}
    moments = {"state": {"a.weight": {"exp_avg": torch.full((size,), -float(number))}}, "param_groups": [{"lr": 0.1}]}
    return {"iteration": number, "random": (3, [number]), "optimizer": moments, "model": weights, "empty": {}}


def assert_same(left, right) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert_same(value, right[key])
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    else:
        assert left == right


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_and_wait(checkpoints, *arguments) -> None:
    checkpoints.save(*arguments)
    checkpoints.wait()


def poll_until_raised(checkpoints) -> None:
    while True:
        checkpoints.poll()


@pytest.fixture(params=[True, False], ids=["asynchronous", "direct"])
def checkpoints(request, tmp_path):
    return RunCheckpoints(tmp_path, max_to_keep=3, asynchronous=request.param)


def test_saved_state_comes_back(checkpoints, tmp_path):
    checkpoints.save("model_0000001", state_of(1))
    path = checkpoints.find_last()
    assert path == tmp_path / "model_0000001.pth"
    assert_same(checkpoints.load(path, {}), state_of(1))
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    assert next(iter(torch.load(path, weights_only=True))) == "model"
    assert_same(read_weights(path), state_of(1)["model"])


def test_training_goes_on_while_old_values_are_written(tmp_path, monkeypatch):
    checkpoints, state, changed = RunCheckpoints(tmp_path, max_to_keep=3), state_of(1), threading.Event()
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *arguments: changed.wait(20) and save(*arguments))
    for number in (1, 2):  # the second time the memory of the first is used again
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


def test_buffers_are_used_again_where_shapes_match(tmp_path):
    checkpoints = RunCheckpoints(tmp_path, max_to_keep=9)
    checkpoints.save("model_0000001", state_of(1))
    checkpoints.wait()
    buffer = checkpoints._buffers._buffers["model", "a.weight"].data_ptr()
    checkpoints.save("model_0000002", state_of(2))
    checkpoints.wait()
    assert checkpoints._buffers._buffers["model", "a.weight"].data_ptr() == buffer
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
    """Copying a folder leaves any order of times behind."""
    for number in (7, 9, 8):
        checkpoints.save(f"model_{number:07}", state_of(number))
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

    monkeypatch.setattr("detectron2_ext.atomic.os.replace", publish)
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
def test_a_damaged_one_is_named_and_the_one_before_used(kind, checkpoints, tmp_path, caplog):
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
    with pytest.raises(InputError, match=r"holds no intact checkpoint .*model_0000002"):
        checkpoints.find_last()


def test_every_flipped_bit_is_harmless_or_found(tmp_path):
    """A zip archive has bytes that mean nothing, such as dates; one may change without changing what is read."""
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
    with pytest.raises(InputError, match=r"model_final\.pth: damaged or gone"):
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


def fail_like_torch(_content, file) -> None:
    """torch's writer raises an error of its own on top of the system's."""
    file.write(b"half")
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 (the context is what is tested)


def test_full_disk_leaves_the_last_good_one(checkpoints, tmp_path, monkeypatch):
    checkpoints.save("model_0000001", state_of(1))
    checkpoints.wait()
    monkeypatch.setattr(torch, "save", fail_like_torch)
    for name in ("model_0000001", "model_0000002"):
        with pytest.raises(InputError, match=r"needs [\d,]+ bytes and [\d,]+ are free; .*lower train.checkpointer"):
            save_and_wait(checkpoints, name, state_of(2))
        checkpoints.poll()  # told once
    assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]
    assert_same(checkpoints.load(checkpoints.find_last(), {}), state_of(1))


def test_a_disk_that_is_too_small_is_not_filled(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: argparse.Namespace(free=5000))
    with pytest.raises(InputError, match=r"model_0000001\.pth needs 8,008 bytes and 5,000 are free"):
        save_and_wait(checkpoints, "model_0000001", state_of(1))
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting needs the rights of root")
def test_a_file_system_that_runs_full(tmp_path, monkeypatch):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setattr(file_checkpoint, "require_space", lambda *_: None)  # others may fill it while it is written
        checkpoints = RunCheckpoints(tmp_path, max_to_keep=5)
        checkpoints.save("model_0000001", state_of(1, size=250_000))
        checkpoints.save("model_0000002", state_of(2, size=250_000))
        with pytest.raises(InputError, match=r"model_0000002\.pth needs 2,000,008 bytes"):
            checkpoints.wait()
        assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]
        assert_same(checkpoints.load(checkpoints.find_last(), {}), state_of(1, size=250_000))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_failed_write_is_told_at_the_next_iteration(tmp_path, monkeypatch):
    checkpoints = RunCheckpoints(tmp_path, max_to_keep=1)
    checkpoints.poll()
    monkeypatch.setattr(torch, "save", fail_like_torch)
    checkpoints.save("model_0000001", state_of(1))
    with pytest.raises(InputError, match="free some space"):
        poll_until_raised(checkpoints)
    checkpoints.poll()


def test_what_could_not_be_read_again_is_not_written(checkpoints, tmp_path):
    checkpoints.save("model_0000001", state_of(1))
    checkpoints.wait()
    with pytest.raises(TypeError, match=r"argparse\.Namespace"):
        save_and_wait(checkpoints, "model_0000002", state_of(2) | {"args": argparse.Namespace(a=1)})
    assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]


class Unpicklable:
    def __reduce__(self):
        raise KeyboardInterrupt

    def __deepcopy__(self, memo):
        return self


def test_interrupted_save_leaves_the_earlier_one(tmp_path):
    checkpoints = RunCheckpoints(tmp_path, max_to_keep=1, asynchronous=False)
    checkpoints.save("model_0000001", state_of(1))
    for name in ("model_0000001", "model_0000002"):
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(name, state_of(2) | {"x": Unpicklable()})
    assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]
    assert_same(checkpoints.load(checkpoints.find_last(), {}), state_of(1))
