"""Files and folders that appear complete or not at all."""

import contextlib
import stat
from pathlib import Path

import pytest

from eva_engine.atomic import atomic_folder, atomic_path, atomic_write


def test_a_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with contextlib.suppress(RuntimeError), atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_not_followed(tmp_path: Path):
    original = tmp_path / "original.json"
    original.write_text("precious")
    link = tmp_path / "link.json"
    link.symlink_to(original)
    with atomic_path(link) as partial:
        partial.write_text("result")
    assert original.read_text() == "precious"
    assert link.read_text() == "result"


def test_open_file_in_a_new_folder(tmp_path: Path):
    path = tmp_path / "new" / "weights.pth"
    with atomic_write(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"


def test_a_folder_appears_only_when_complete(tmp_path: Path):
    path = tmp_path / "new" / "data"
    with contextlib.suppress(RuntimeError), atomic_folder(path) as partial:
        (partial / "half").touch()
        raise RuntimeError
    assert not list(path.parent.iterdir())
    with atomic_folder(path) as partial:
        (partial / "complete").touch()
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["complete"]
    (plain := tmp_path / "plain").mkdir()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_the_first_of_two_processes_names_the_folder(tmp_path: Path):
    path = tmp_path / "data"
    with atomic_folder(path) as slow:
        (slow / "slow").touch()
        with atomic_folder(path) as fast:
            (fast / "fast").touch()
    assert list(tmp_path.iterdir()) == [path]
    assert [file.name for file in path.iterdir()] == ["fast"]


def test_a_folder_does_not_replace_a_file(tmp_path: Path):
    path = tmp_path / "data"
    path.write_text("precious")
    with pytest.raises(NotADirectoryError), atomic_folder(path):
        pass
    assert path.read_text() == "precious"
