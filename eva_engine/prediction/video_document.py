"""Write the results of a video as one JSON document with a line per frame."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from eva_engine.atomic import atomic_path

from .json_text import to_json


class VideoDocument:
    """Write the JSON document of a video frame by frame, so that its length does not affect memory use.

    Every frame is one line, hence the file can also be read line by line.

    Args:
        stream: Text stream to write to.
        header: What the document says of the video as a whole.

    Attributes:
        num_frames: Frames written so far.
    """

    def __init__(self, stream: TextIO, header: Mapping[str, Any]) -> None:
        self.stream = stream
        self.num_frames = 0
        # The closing brace is left off: the list of frames and the summary follow in the same object.
        self.stream.write(to_json(dict(header))[:-1] + ', "frames": [')

    def add(self, index: int, time: float, findings: Mapping[str, Any]) -> None:
        """Append frame number `index` of the video, shown at `time` seconds, with its findings."""
        separator = ",\n" if self.num_frames else "\n"
        self.stream.write(separator + to_json({"frame": index, "time": round(time, 6), **findings}))
        self.num_frames += 1

    def close(self, problem: str | None) -> None:
        """End the document; `problem` is the reason why frames may be missing, None if the video is complete."""
        summary = {"num_frames": self.num_frames, "complete": problem is None, "problem": problem}
        self.stream.write("\n], " + to_json(summary)[1:] + "\n")


@contextmanager
def open_video_document(path: Path, header: Mapping[str, Any]) -> Iterator[VideoDocument]:
    """Open a `VideoDocument` for the file `path`, which appears when the block ends."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as stream:
        yield VideoDocument(stream, header)
