"""The segmentation demo from end to end, on one frame of each kind and for two iterations."""

import json

import numpy as np
from PIL import Image

from eva_demos.segmentation import demo, microscope


def synthetic_frames(name: str, size: tuple[int, int], number: int) -> list[microscope.Region]:
    """One bright square in every eighth column and row."""
    labels = np.zeros(size, np.uint8)
    labels[::8, ::8] = number
    labels = np.kron(labels[::8, ::8], np.pad(np.ones((4, 4), np.uint8), 2))
    return [(name, labels * 80, labels)]


def test_two_iterations_write_weights_results_and_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(microscope, "nucleus_frames", lambda: synthetic_frames("nuclei_t00", (200, 1104), 1))
    monkeypatch.setattr(microscope, "bacteria_frames", lambda: synthetic_frames("bacteria_t00", (728, 1032), 2))
    output = tmp_path / "demo"
    output.mkdir()
    (output / "model_0000009.pth").write_text("left by an earlier run")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0

    printed = capsys.readouterr().out
    assert "contains the results of an earlier run, which are replaced" in printed
    assert "IoU bacterium" in printed
    assert printed.rstrip().endswith(str(output / "index.html"))
    results = json.loads((output / "results.json").read_text())["sem_seg"]
    assert all(0 <= results[name] <= 100 for name in ("mIoU", "mAcc", "aAcc"))
    assert (output / "model_final.pth").is_file()
    assert not (output / "model_0000009.pth").exists()
    assert {path.stem for path in (output / "labels").iterdir()} == {"nuclei_t00", "bacteria_t00"}
    truth, found = (
        Image.open(output / path) for path in ("data/heldout/labels/nuclei_t00.png", "labels/nuclei_t00.png")
    )
    assert truth.size == found.size
    html = (output / "index.html").read_text(encoding="utf-8")
    assert all(f"{name}_t00: " in html for name in ("nuclei", "bacteria"))
    assert "2 iterations" in html
