"""Little videos of three classes, which differ in colour, with their lists."""

from pathlib import Path

import av
import numpy as np
import pytest

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


def write_video(path: Path, colour: tuple[int, int, int], num_frames: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(num_frames):
            image = np.full((48, 64, 3), colour, np.uint8)
            image[:, 4 * number : 4 * number + 8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def kinetics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data root, with kinetics/ in the layout of the recipes."""
    root = tmp_path / "kinetics"
    for part, count in (("train", 6), ("val", 4)):
        lines = []
        for number in range(count):
            name = f"{part}/video {number}.mp4"
            write_video(root / name, COLOURS[number % 3], 9 + number)
            lines.append(f"{name} {number % 3}\n")
        for name in ("k400", "k722"):
            (root / f"{name}_{part}.txt").write_text("".join(lines))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path
