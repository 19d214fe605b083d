"""Published names: a file, the cache, or a download from a server like the Hub, whose content is checked."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, file_download
from loopback_hub import COMMIT
from published_rotation import FILE, SIXTH_TASK, weight_file

from eva_backbone.errors import InputError
from eva_engine import disk_space
from eva_engine.checkpoint import read_weights
from eva_engine.disk_space import OutputError
from eva_engine.published_weights.weight_path import weight_path

NAME = "rotation_tiny"
ROOT = Path(__file__).parents[3]


def files_in_cache() -> set[str]:
    """Return the names of complete files, of their contents, and of what is left of others."""
    return {
        path.name for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.suffix != ".lock" and not path.is_dir()
    }


def refused(match: str, kind: type[InputError] = InputError) -> None:
    """Check that the name is refused with one sentence, and that the cache does not have the file afterwards."""
    with pytest.raises(kind, match=match) as error:
        weight_path(NAME)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(NAME)
    assert f"{NAME}.pth" not in files_in_cache()


def test_download_once(hub):
    path = weight_path(NAME)
    assert path.read_bytes() == hub.files[FILE]
    assert path.name == f"{NAME}.pth"
    assert path.parent.parent.name == COMMIT
    assert files_in_cache() == {
        *("main", "CACHEDIR.TAG", path.name, hashlib.sha256(hub.files[FILE]).hexdigest()),
    }
    hub.requests.clear()
    assert weight_path(NAME) == path
    assert list(read_weights(NAME)) == list(torch.load(path)["model"])
    assert hub.requests == []


def test_file_of_the_name_is_not_looked_up(hub):
    Path(NAME).write_bytes(weight_file(16))
    assert weight_path(NAME) == Path(NAME)
    assert hub.requests == []


def test_nothing_is_fetched_for_a_file_name(hub):
    with pytest.raises(InputError, match=f"{NAME}.pth does not exist; give its path, or the name {NAME} to download"):
        weight_path(f"{NAME}.pth")
    for path in (f"folder/{NAME}", "other.pth", "https://example.org/weights.pth"):
        assert weight_path(path) == Path(path)
    with pytest.raises(InputError, match=rf"rotation_tyni is neither a file nor .* did you mean {NAME}\?"):
        weight_path("rotation_tyni")
    assert hub.requests == []


def test_interrupted_download_is_continued(hub, monkeypatch):
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what is written at once
    hub.bytes_until_cut = 0
    refused("cannot be downloaded from http://127.0.0.1.* the same command continues an interrupted download")
    hub.bytes_until_cut = 10_000
    hub.requests.clear()
    assert weight_path(NAME).read_bytes() == hub.files[FILE]
    assert hub.requests[1:4] == ["GET", "GET bytes=10000-", "GET bytes=20000-"]


def test_killed_download_is_continued(hub):
    """By another process, from what the first one has left."""
    partial = Path(
        constants.HF_HUB_CACHE,
        "models--example--rotation/blobs",
        f"{hashlib.sha256(hub.files[FILE]).hexdigest()}.incomplete",
    )
    partial.parent.mkdir(parents=True)
    partial.write_bytes(hub.files[FILE][:30_000])
    assert weight_path(NAME).read_bytes() == hub.files[FILE]
    assert "GET bytes=30000-" in hub.requests
    assert not partial.exists()


def test_download_of_another_program(hub):
    """It has ended before the file got its name."""
    blob = Path(constants.HF_HUB_CACHE, "models--example--rotation/blobs", hashlib.sha256(hub.files[FILE]).hexdigest())
    blob.parent.mkdir(parents=True)
    blob.write_bytes(hub.files[FILE])
    assert weight_path(NAME).resolve() == blob.resolve()
    assert "GET" not in hub.requests


def test_wrong_hash(hub):
    hub.stated_sha256 = "1" * 64
    refused(f"its SHA-256 is [0-9a-f]{{64}}, expected is {'1' * 64}; the file is refused and kept as ")
    assert f"{'1' * 64}.refused" in files_in_cache()
    hub.stated_sha256 = ""
    assert weight_path(NAME).read_bytes() == hub.files[FILE]


def test_hash_of_the_table_differs_from_that_of_the_hub(hub):
    from rotation_task.published_weights import FILES

    object.__setattr__(FILES[0], "sha256", "2" * 64)
    try:
        refused(f"has the SHA-256 [0-9a-f]+ on the Hub, which should be {'2' * 64}")
    finally:
        object.__setattr__(FILES[0], "sha256", "")
    assert hub.requests == ["HEAD"]


def test_wrong_model(hub):
    hub.files[FILE] = weight_file(16)
    refused(r"it is not the model of .*rotation.py \(.*of width 16.*\); the file is refused and kept as ")
    assert any(name.endswith(".refused") for name in files_in_cache())


def test_missing_entry(hub, tmp_path):
    file = tmp_path / "file.pth"
    file.write_bytes(hub.files[FILE])
    weights = torch.load(file)["model"]
    del weights["head.bias"]
    torch.save(weights, file)
    hub.files[FILE] = file.read_bytes()
    refused(r"it is not the model of .*rotation.py \(1 entries missing\)")


def test_not_a_weight_file(hub):
    hub.files[FILE] = b"<html>log in</html>"
    refused("is a web page, not a weight file.* the file is refused")


def test_no_space(hub):
    hub.stated_size = 10**15
    refused("needs 1,000,000,000,000,000 bytes and .* are free; free some space, or set HF_HOME", OutputError)
    assert hub.requests == ["HEAD"]
    assert not [name for name in files_in_cache() if name.endswith(".incomplete")]


@pytest.mark.usefixtures("hub")
def test_disk_full_during_the_download(monkeypatch):
    monkeypatch.setattr(disk_space, "require_disk_space", lambda *_: None)

    def write(_url, file, **_options):
        raise OSError(28, "No space left on device", file.name)

    monkeypatch.setattr(file_download, "http_get", write)
    refused("bytes and .* are free; free some space", OutputError)


@pytest.mark.usefixtures("hub")
def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    refused(r"cannot be downloaded to .*file.* \(Not a directory\); set HF_HOME to another folder")


@pytest.mark.usefixtures("hub")
def test_offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("is not in .*models--example--rotation, and HF_HUB_OFFLINE forbids to download it")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    path = weight_path(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weight_path(NAME) == path


@pytest.mark.usefixtures("hub")
def test_no_server(monkeypatch):
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    refused(r"cannot be downloaded from http://127.0.0.1:9/.* \(.*refused.*\); check the network")


def test_file_that_the_hub_does_not_have(hub):
    hub.files.clear()
    refused(r"cannot be downloaded from .* \(HTTP status 404\)")


def test_one_of_several_processes_downloads(hub):
    hub.seconds_until_answer = 2
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SIXTH_TASK), str(ROOT)])}
    command = [sys.executable, "-W", "ignore", "-m", "tools", "weights", "download", NAME]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert hub.requests.count("GET") == 1
