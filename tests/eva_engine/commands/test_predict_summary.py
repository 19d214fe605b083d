"""What predict prints: failed inputs in the last lines, the list of used weights only on request."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from eva_engine.commands import predict
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate

ROOT = Path(__file__).parents[3]
RECIPE = str(ROOT / "projects/Classification/configs/in1k_336.py")
TINY = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28"]


@pytest.fixture
def arguments(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": instantiate(load_config(RECIPE, TINY).model).state_dict()}, "tiny.pth")
    Path("photos").mkdir()
    Image.new("RGB", (9, 9)).save("photos/good.png")
    return ["--config-file", RECIPE, "--weights", "tiny.pth", "--device", "cpu", "--input", "photos", *TINY]


def test_failed_inputs_are_named_in_the_last_lines(arguments, capsys):
    for number in range(25):
        Path(f"photos/broken{number:02}.png").touch()
    assert predict.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    end = lines[lines.index("inputs that failed:") + 1 :]
    assert len(end) == 21
    assert end[0].startswith("  photos/broken00.png: ")
    assert end[-1] == "  and 5 more, see the messages above"


def test_nothing_is_named_without_failures(arguments, capsys):
    assert predict.main(arguments) == 0
    assert "inputs that failed" not in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [True, False])
def test_used_weights_are_listed_on_request(arguments, caplog, verbose):
    caplog.set_level("INFO")
    assert predict.main([*arguments, *(["--verbose"] if verbose else [])]) == 0
    assert any(message.startswith("Weights from tiny.pth") for message in caplog.messages) == verbose
