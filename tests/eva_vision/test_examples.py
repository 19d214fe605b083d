"""The examples in the docstring of the package and in the README run, with a tiny model for the published one."""

import re
import textwrap
from pathlib import Path

import pytest
from PIL import Image

import eva_vision

ROOT = Path(__file__).parents[2]
README = re.search(r"^```\n(import eva_vision\n.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
DOCSTRING = re.search(r"(^    import eva_vision\n.*?)^\S", eva_vision.__doc__ or "", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", [README, DOCSTRING], ids=["README", "docstring"])
def test_example(example, detector, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.open(photos / "a.png").save("photo.jpg")
    monkeypatch.setattr(eva_vision, "load", lambda _: detector.model, raising=False)
    exec(textwrap.dedent(example[1]), {})
    assert Image.open("out.png").size == (100, 75)
