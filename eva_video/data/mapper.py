"""Map the record of a video to the clips that the model gets."""

import logging
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error, suggest_skipping

from .decoding import TIME_LIMIT, DecodedClip, read_clip
from .frame_buffer import FrameSampler, PrepareFrame
from .frame_folder import check_frame_pattern, read_frame_folder
from .sampling import EvaluationFrameSampler, TrainingFrameSampler
from .torchcodec_decoding import load_torchcodec, read_clip_torchcodec
from .transforms import EvaluationTransform, TrainingTransform
from .video_dataset import VideoRecord

logger = logging.getLogger(__name__)

_MAX_LOGGED = 20


class ClipReader:
    """Read the sampled frames of a record.

    Args:
        frame_pattern: File name of a frame, such as "img_{:05d}.jpg", if records are folders of extracted frames; None
            if they are video files.
        decoder: "pyav", "torchcodec", or "auto", which selects torchcodec where it can be loaded.
        time_limit: Limit in seconds for each video file.

    Raises:
        InputError: The decoder is unknown, or the pattern has no placeholder for the number.
    """

    def __init__(self, frame_pattern: str | None = None, decoder: str = "pyav", time_limit: float = TIME_LIMIT) -> None:
        if decoder not in ("pyav", "torchcodec", "auto"):
            raise InputError(f'the decoder is {decoder!r}, expected "pyav", "torchcodec" or "auto".')
        self.frame_pattern = None if frame_pattern is None else check_frame_pattern(frame_pattern)
        if decoder == "auto":
            decoder = "pyav" if load_torchcodec() is None else "torchcodec"
        self.decoder = decoder
        self.time_limit = time_limit
        self._incomplete: set[str] = set()

    def read(self, record: VideoRecord, sampler: FrameSampler, prepare: PrepareFrame) -> DecodedClip:
        """Return the sampled frames, each prepared by `prepare`.

        A damaged or truncated file whose sampled frames can be read is logged once.
        """
        file_name = record["file_name"]
        if self.frame_pattern is not None:
            num_frames = record.get("num_frames")
            return read_frame_folder(file_name, self.frame_pattern, sampler, num_frames=num_frames, prepare=prepare)
        read = read_clip if self.decoder == "pyav" else read_clip_torchcodec
        clip = read(file_name, sampler, prepare=prepare, time_limit=self.time_limit)
        if clip.problem is not None and file_name not in self._incomplete:
            self._incomplete.add(file_name)
            if len(self._incomplete) <= _MAX_LOGGED:
                logger.warning(
                    "Incomplete (%d so far in this worker): %s: %s", len(self._incomplete), file_name, clip.problem
                )
        return clip


class TrainingMapper:
    """Map a record to one randomly drawn and augmented clip.

    Args:
        frame_sampler: Chooses the frames of the clip.
        transform: From frames to pixels.
        on_error: "stop" raises `InputError` at a video that cannot be read. "skip" logs and counts it, and another one
            is drawn instead.
        reader: Reads the frames of a record.
    """

    def __init__(
        self,
        frame_sampler: TrainingFrameSampler,
        transform: TrainingTransform,
        *,
        on_error: str = "stop",
        reader: ClipReader | None = None,
    ) -> None:
        self.frame_sampler = frame_sampler
        self.transform = transform
        self.on_error = check_on_error(on_error)
        self.reader = reader or ClipReader()
        self._skipped = SkippedSamples()

    def __call__(self, record: VideoRecord) -> dict[str, Any] | None:
        """Return {"video": float32 array [3, T, H, W], "label": class index, "file_name": ...}, or None if skipped."""
        try:
            clip = self.reader.read(record, self.frame_sampler, self.transform.prepare)
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "videos") from error
            self._skipped.add(record["file_name"], error)
            return None
        self._skipped.reset()
        pixels = self.transform(clip.frames)
        return {"video": pixels, "label": record["label"], "file_name": record["file_name"]}


class EvaluationMapper:
    """Map a record to all its views: several clips, each in several crops.

    Args:
        frame_sampler: Chooses the frames of the clips.
        transform: From frames to the pixels of one or several crops.
        on_error: "stop" raises `InputError` at a video that cannot be read. "skip" logs it and returns black clips with
            the label `UNREADABLE`, for which every prediction counts as wrong.
        reader: Reads the frames of a record.
    """

    def __init__(
        self,
        frame_sampler: EvaluationFrameSampler,
        transform: EvaluationTransform,
        *,
        on_error: str = "stop",
        reader: ClipReader | None = None,
    ) -> None:
        self.frame_sampler = frame_sampler
        self.transform = transform
        self.on_error = check_on_error(on_error)
        self.reader = reader or ClipReader()

    @property
    def num_views(self) -> int:
        """Number of views of every video: clips times crops."""
        return self.frame_sampler.num_clips * self.transform.num_crops

    def __call__(self, record: VideoRecord) -> dict[str, Any]:
        """Return the views of a video.

        Returns:
            {"video": float32 array [V, 3, T, H, W], "view": clip and crop of each view [V, 2], "label": class index,
            "file_name": ...}.
        """
        label, sampler = record["label"], self.frame_sampler
        try:
            frames = self.reader.read(record, sampler, self.transform.prepare).frames
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "videos") from error
            logger.warning("Counted as wrong: %s", error)
            size, label = self.transform.size, UNREADABLE
            black = self.transform.prepare(np.zeros((size, size, 3), np.uint8))
            frames = np.stack([black] * (sampler.num_clips * sampler.num_frames))
        pixels, views = self.transform(frames, sampler.num_clips)
        return {"video": pixels, "view": views, "label": label, "file_name": record["file_name"]}
