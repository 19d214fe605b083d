"""Checkpoints of a run in an empty folder, written asynchronously and synchronously."""

import pytest

from eva_engine.checkpoint import RunCheckpoints


@pytest.fixture(params=[True, False], ids=["asynchronous", "direct"])
def checkpoints(request, tmp_path):
    return RunCheckpoints(tmp_path, max_to_keep=3, asynchronous=request.param)
