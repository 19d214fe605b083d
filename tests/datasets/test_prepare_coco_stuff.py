"""Published label maps of COCO-Stuff to training ids."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_runs import files_below, run_script


def write_map(path: Path, values: list, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).convert(mode).save(path)


def test_values_are_numbered_without_gaps(tmp_path) -> None:
    write_map(tmp_path / "coco/stuffthingmaps/val2017/000000000139.png", [[0, 10, 12, 89], [91, 181, 255, 24]])
    done = run_script("prepare_coco_stuff164k.py", "--split", "val2017", "--workers", 1, root=tmp_path)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "coco_stuff164k/annotations"
    assert files_below(output) == ["val2017/000000000139_labelTrainIds.png"]
    found = np.array(Image.open(output / "val2017/000000000139_labelTrainIds.png"))
    assert found.tolist() == [[0, 10, 11, 79], [80, 170, 255, 23]]
    assert "the published val2017 has 5000 images" in done.stderr


@pytest.mark.parametrize(
    ("values", "mode", "fragment"),
    [
        ([[0, 11]], "L", "has the value 11, which belongs to no class"),
        ([[0, 1]], "RGB", "does not have a single 8-bit channel"),
    ],
)
def test_other_maps_are_refused(tmp_path, values, mode, fragment) -> None:
    write_map(tmp_path / "in/val2017/1.png", values, mode)
    arguments = ["--source", tmp_path / "in", "--output", tmp_path / "out", "--split", "val2017", "--workers", 1]
    done = run_script("prepare_coco_stuff164k.py", *arguments)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert fragment in done.stderr
    assert files_below(tmp_path / "out") == []


def test_a_folder_without_maps(tmp_path) -> None:
    done = run_script("prepare_coco_stuff164k.py", "--source", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "unpack stuffthingmaps_trainval2017.zip" in done.stderr
