"""A server in the place of the Hub, and the made-up task of `test_sixth_task.py` with a published file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from loopback_hub import Hub
from published_rotation import FILE, SIXTH_TASK, weight_file

from eva_engine import tasks


@pytest.fixture
def sixth_task(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of the task, which is registered."""
    return register_sixth_task(monkeypatch)


def register_sixth_task(monkeypatch: pytest.MonkeyPatch) -> Path:
    tasks.all_tasks()  # those of the installed packages, to which this task does not belong
    monkeypatch.syspath_prepend(str(SIXTH_TASK))
    from rotation_task.task import TASK

    monkeypatch.setattr(tasks, "_registered", [TASK])
    return SIXTH_TASK / "rotation_task/recipes/rotation.py"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The server with the published file, and an empty cache in `tmp_path`/cache/hub.

    `huggingface_hub` reads its variables when it is imported, so they are set in `constants` as well.
    """
    register_sixth_task(monkeypatch)
    hub = Hub()
    server = hub.start()
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    address = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    hub.files[FILE] = weight_file(32)
    yield hub
    server.shutdown()
    server.server_close()
