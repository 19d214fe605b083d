"""Runs that are killed while they write, again and again, go on from a complete checkpoint."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("kind", "num_kills"), [("file", 12), ("folder", 6)])
def test_killed_at_random_moments(kind, num_kills, tmp_path):
    script = Path(__file__).with_name("killed_writer.py")
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path), kind, str(num_kills), "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[3])
    assert ended.returncode == 0, ended.stderr
    assert "resumed from" in ended.stdout
