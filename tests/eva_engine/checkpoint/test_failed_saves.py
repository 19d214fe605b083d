"""Saves that fail raise an error and leave the last good checkpoint."""

import argparse
import errno
import os
import shutil
import subprocess

import pytest
import torch
from synthetic_states import assert_same, names, save_and_wait, state_of

from eva_backbone.errors import InputError
from eva_engine import disk_space
from eva_engine.checkpoint import RunCheckpoints, unsharded_checkpoint


def poll_until_raised(checkpoints) -> None:
    while True:
        checkpoints.poll()


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
        checkpoints.poll()  # the error is raised once
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
        monkeypatch.setattr(
            unsharded_checkpoint, "require_disk_space", lambda *_: None
        )  # as if the disk fills up later
        checkpoints = RunCheckpoints(tmp_path, max_to_keep=5)
        checkpoints.save("model_0000001", state_of(1, size=250_000))
        checkpoints.save("model_0000002", state_of(2, size=250_000))
        with pytest.raises(InputError, match=r"model_0000002\.pth needs 2,000,008 bytes"):
            checkpoints.wait()
        assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]
        assert_same(checkpoints.load(checkpoints.find_last(), {}), state_of(1, size=250_000))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_failed_write_is_raised_at_the_next_iteration(tmp_path, monkeypatch):
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
