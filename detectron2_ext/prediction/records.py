"""Write the detections in a video as one JSON document with a line per frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from eva_engine.atomic import atomic_path
from eva_engine.prediction.json_text import to_json

from .result import BOX_FORMAT, DetectionResult


class DetectionRecordWriter:
    """Write the JSON document of a video frame by frame, so that its length does not affect memory use.

    Every frame is one line, hence the file can also be read line by line.

    Args:
        stream: Text stream to write to.
        source: File or address of the video, named in the document.
        width: Width of the frames, pixels.
        height: Height of the frames, pixels.
        threshold: Score threshold of the detections, noted in the document.

    Attributes:
        num_frames: Frames written so far.
    """

    def __init__(self, stream: TextIO, source: str, width: int, height: int, threshold: float) -> None:
        self.stream = stream
        self.num_frames = 0
        header = {"video": source, "width": width, "height": height}
        header |= {"box_format": BOX_FORMAT, "score_threshold": threshold}
        # The closing brace is left off: the list of frames and the summary follow in the same object.
        self.stream.write(to_json(header)[:-1] + ', "frames": [')

    def add(self, index: int, time: float, result: DetectionResult) -> None:
        """Append frame number `index` of the video, shown at `time` seconds."""
        frame = {"frame": index, "time": round(time, 6), "detections": result.records()}
        separator = ",\n" if self.num_frames else "\n"
        self.stream.write(separator + to_json(frame))
        self.num_frames += 1

    def close(self, problem: str | None) -> None:
        """End the document; `problem` is the reason why frames may be missing, None if the video is complete."""
        summary = {"num_frames": self.num_frames, "complete": problem is None, "problem": problem}
        self.stream.write("\n], " + to_json(summary)[1:] + "\n")


@contextmanager
def open_video_record(
    path: Path, source: str, width: int, height: int, threshold: float
) -> Iterator[DetectionRecordWriter]:
    """Open a `DetectionRecordWriter` for the file `path`, which appears when the block ends."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as stream:
        yield DetectionRecordWriter(stream, source, width, height, threshold)
