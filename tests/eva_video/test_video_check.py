"""Flaws of videos are found by the data check; videos without a flaw give no finding."""

import json
import shutil

import av
import numpy as np
import pytest
from detectron2.config import LazyCall as L
from made_images import made_image
from omegaconf import OmegaConf

from eva_engine.commands.check_data import main
from eva_video.data import VideoDataset
from eva_video.data_check import VideoCheck


def _write_video(path, number: int, num_frames: int = 8, rate: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(num_frames):
            image = np.roll(np.asarray(made_image(number, (64, 48))), index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def root(tmp_path):
    number = 0
    for part, count in (("train", 20), ("val", 4)):
        lines = []
        for index in range(count):
            _write_video(tmp_path / part / f"{index}.mp4", number)
            lines.append(f"{part}/{index}.mp4 {index % 2}")
            number += 1
        (tmp_path / f"{part}.txt").write_text("\n".join(lines))
    return tmp_path


def _run(root, quick: bool = False):
    loaders = {
        loader: {"dataset": L(VideoDataset)(annotations=str(root / f"{part}.txt"), root=str(root))}
        for loader, part in (("train", "train"), ("test", "val"))
    }
    content = {"dataloader": {**loaders, "categories": ["run", "jump"]}, "model": {"num_frames": 4}}
    return VideoCheck(OmegaConf.create(content, flags={"allow_objects": True})).run(quick=quick)


def _findings(root, **keywords) -> dict:
    return {finding.code: finding for finding in _run(root, **keywords).findings}


def test_nothing_in_videos_without_flaw(root):
    result = _run(root)
    assert result.findings == []
    assert result.facts["training"] == {
        "videos": "20",
        "classes": "2",
        "frames": "8 to 8, median 8",
        "frames per second": "10 to 10, median 10",
    }
    assert result.class_counts == {"training": {"run": 10, "jump": 10}, "validation": {"run": 2, "jump": 2}}


def test_unreadable(root):
    (root / "train" / "0.mp4").write_bytes(b"not a video")
    assert _findings(root, quick=True) == {}
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity, finding.count) == ("unreadable-videos", "error", 1)
    assert finding.examples[0].text.startswith("not a readable video")


def test_missing(root):
    (root / "train" / "3.mp4").unlink()
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity) == ("missing-videos", "error")
    assert finding.examples[0].file == str(root / "train" / "3.mp4")


def test_too_short(root):
    _write_video(root / "train" / "0.mp4", 0, num_frames=3)
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity, finding.count) == ("short-videos", "warning", 1)
    assert finding.examples[0].text == "3 frames"
    assert finding.examples[0].draw().shape == (48, 64, 3)


def test_truncated(root):
    file = root / "train" / "0.avi"
    _write_video(file, 0, num_frames=60)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    lines = (root / "train.txt").read_text().replace("train/0.mp4", "train/0.avi")
    (root / "train.txt").write_text(lines)
    assert _findings(root)["damaged-videos"].severity == "warning"


def test_frame_rate(root):
    _write_video(root / "train" / "0.mp4", 0, rate=30)
    (finding,) = _findings(root).values()
    assert (finding.code, finding.severity) == ("frame-rates", "note")
    assert finding.examples[0].text == "30 frames per second"


def test_duplicates_and_leakage(root):
    shutil.copy(root / "train" / "0.mp4", root / "train" / "2.mp4")
    shutil.copy(root / "train" / "4.mp4", root / "val" / "0.mp4")
    found = _findings(root)
    assert {code: finding.severity for code, finding in found.items()} == {"duplicates": "warning", "leakage": "error"}
    assert found["leakage"].examples[0].draw().shape == (48, 2 * (64 + 4), 3)


def test_listed_in_both(root):
    with open(root / "val.txt", "a") as file:
        file.write("\ntrain/0.mp4 0")
    found = _findings(root, quick=True)
    assert (found["listed-in-both"].severity, found["listed-in-both"].count) == ("error", 1)


def test_listed_twice_and_bad_lines(root):
    with open(root / "train.txt", "a") as file:
        file.write("\ntrain/0.mp4 0\nonly-a-path\n")
    found = _findings(root, quick=True)
    assert "1 video(s) are listed several times" in found["reader"].what + found["reader"].fix
    assert found["bad-records"].what == "line 22 is not a path and a label"


def test_command_reports_what_is_read_twice_once(root, tmp_path_factory):
    with open(root / "train.txt", "a") as file:
        file.write("\ntrain/0.mp4 0\nonly-a-path\n")
    out = tmp_path_factory.mktemp("out")
    overrides = ["dataloader.class_names=[run,jump]", "model.num_classes=2"]
    for loader, part in (("train", "train"), ("test", "val")):
        dataset = f"dataloader.{loader}.dataset"
        overrides += [f"{dataset}.annotations={root}/{part}.txt", f"{dataset}.root={root}"]
    recipe = "projects/Video/configs/kinetics400.py"
    assert main(["--config-file", recipe, "--quick", "--output", str(out), *overrides]) == 1
    found = json.loads((out / "findings.json").read_text())["findings"]
    assert [(finding["code"], finding["count"]) for finding in found] == [("bad-records", 1), ("reader", 1)]
