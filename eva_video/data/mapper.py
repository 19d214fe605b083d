"""From the record of a video to the clips that the model gets."""

import logging
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_engine.data.record_errors import check_on_error, or_skip
from eva_engine.data.skipped_samples import SkippedSamples

from .chosen_frames import PrepareFrame
from .decoding import TIME_LIMIT, Clip, read_clip
from .frame_folder import check_pattern, read_folder
from .sampling import EvaluationFrames, TrainingFrames
from .torchcodec_decoding import load_torchcodec, read_clip_torchcodec
from .transforms import EvaluationTransform, TrainingTransform
from .video_dataset import VideoRecord

logger = logging.getLogger(__name__)

_MAX_NAMED = 20


class VideoReading:
    """How the frames of a record are read.

    Args:
        frame_pattern: name of a frame's file where records are folders of frames, such as "img_{:05d}.jpg"; None: they
            are video files.
        decoder: "pyav"; "torchcodec"; or "auto", which takes torchcodec where it can be loaded.
        time_limit: seconds for a video file.

    Raises:
        InputError: an unknown decoder or a pattern without a number.
    """

    def __init__(self, frame_pattern: str | None = None, decoder: str = "pyav", time_limit: float = TIME_LIMIT) -> None:
        if decoder not in ("pyav", "torchcodec", "auto"):
            raise InputError(f'the decoder is {decoder!r}, expected "pyav", "torchcodec" or "auto".')
        self.frame_pattern = None if frame_pattern is None else check_pattern(frame_pattern)
        if decoder == "auto":
            decoder = "pyav" if load_torchcodec() is None else "torchcodec"
        self.decoder = decoder
        self.time_limit = time_limit
        self._incomplete: set[str] = set()

    def read(self, record: VideoRecord, choose: TrainingFrames | EvaluationFrames, prepare: PrepareFrame) -> Clip:
        """The chosen frames; a file that is not whole, but whose frames can be read, is counted and named once."""
        file_name = record["file_name"]
        if self.frame_pattern is not None:
            num_frames = record.get("num_frames")
            return read_folder(file_name, self.frame_pattern, choose, num_frames=num_frames, prepare=prepare)
        read = read_clip if self.decoder == "pyav" else read_clip_torchcodec
        clip = read(file_name, choose, prepare=prepare, time_limit=self.time_limit)
        if clip.problem is not None and file_name not in self._incomplete:
            self._incomplete.add(file_name)
            if len(self._incomplete) <= _MAX_NAMED:
                logger.warning(
                    "Not whole (%d so far in this worker): %s: %s", len(self._incomplete), file_name, clip.problem
                )
        return clip


class TrainingMapper:
    """A clip of a video, drawn and augmented.

    Args:
        frames: which frames.
        transform: from frames to pixels.
        on_error: "stop" raises `InputError` at a video that cannot be read. "skip" counts and names it, and another one
            is drawn in its place.
        reading: how files are read.
    """

    def __init__(
        self,
        frames: TrainingFrames,
        transform: TrainingTransform,
        *,
        on_error: str = "stop",
        reading: VideoReading | None = None,
    ) -> None:
        self.frames = frames
        self.transform = transform
        self.on_error = check_on_error(on_error)
        self.reading = reading or VideoReading()
        self._skipped = SkippedSamples()

    def __call__(self, record: VideoRecord) -> dict[str, Any] | None:
        """{"video": float32 array [3, T, H, W], "label": class number, "file_name": ...}, or None for a skipped one."""
        try:
            clip = self.reading.read(record, self.frames, self.transform.prepare)
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "videos") from error
            self._skipped.add(record["file_name"], error)
            return None
        self._skipped.reset()
        pixels = self.transform(clip.frames)
        return {"video": pixels, "label": record["label"], "file_name": record["file_name"]}


class EvaluationMapper:
    """All views of a video.

    Args:
        frames: which frames, of how many clips.
        transform: from frames to pixels, in how many crops.
        on_error: "stop" raises `InputError` at a video that cannot be read. "skip" names it, and black clips stand for
            it that no prediction is right for.
        reading: how files are read.
    """

    def __init__(
        self,
        frames: EvaluationFrames,
        transform: EvaluationTransform,
        *,
        on_error: str = "stop",
        reading: VideoReading | None = None,
    ) -> None:
        self.frames = frames
        self.transform = transform
        self.on_error = check_on_error(on_error)
        self.reading = reading or VideoReading()

    @property
    def num_views(self) -> int:
        """Of every video: clips times crops."""
        return self.frames.num_clips * self.transform.num_crops

    def __call__(self, record: VideoRecord) -> dict[str, Any]:
        """{"video": float32 array [V, 3, T, H, W], "view": clip and crop of each [V, 2], "label", "file_name"}."""
        label = record["label"]
        try:
            frames = self.reading.read(record, self.frames, self.transform.prepare).frames
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "videos") from error
            logger.warning("Counted as wrong: %s", error)
            size, label = self.transform.size, UNREADABLE
            black = self.transform.prepare(np.zeros((size, size, 3), np.uint8))
            frames = np.stack([black] * (self.frames.num_clips * self.frames.num_frames))
        pixels, views = self.transform(frames, self.frames.num_clips)
        return {"video": pixels, "view": views, "label": label, "file_name": record["file_name"]}
