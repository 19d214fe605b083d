"""Predict on the frames of a video, a camera or a stream, in batches."""

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any

from eva_backbone.errors import InputError

from .file_run import predict_batch
from .predictor import ImageSample
from .prefetch import Prefetch
from .read_ahead import read_batches
from .video import VideoFrame, VideoReader


def frame_results(
    predictor: Any,
    reader: VideoReader,
    *,
    batch_size: int | None = None,
    max_frames: int | None = None,
    track: bool = False,
    keep_images: bool = True,
) -> Generator[tuple[VideoFrame, Any]]:
    """Yield each frame of a video with its result, in order; the next frames are decoded in the meantime.

    At most about three batches of frames are in memory. Of a camera that is faster than the model, frames are left out.

    Args:
        predictor: A predictor for images.
        reader: Video from `eva_engine.prediction.frame_source.opened_frames`.
        batch_size: Number of frames per forward pass; by default that of the predictor.
        max_frames: Number of frames after which to stop; None for all.
        track: Whether objects get identities, `track_ids` of the results.
        keep_images: Whether the results keep their frames, for drawing.

    Raises:
        InputError: No frame can be decoded, the model cannot process the frames or finds no objects that could be
            tracked, or tracking needs a package that is not installed.
    """
    size = batch_size or predictor.batch_size
    rate = float(reader.rate) / reader.frame_stride
    follow = predictor.tracker(rate) if track else None

    def prepare(frame: VideoFrame) -> ImageSample:
        sample = predictor.prepare(frame.image, reader.name)
        return sample if keep_images else sample._replace(image=None)

    def fail(_frame: VideoFrame, error: InputError) -> None:
        # All frames have the same size, so the others would fail, too.
        raise error if reader.name in str(error) else InputError(f"{reader.name}: {error}") from error

    with Prefetch(reader, size, drops_old=not reader.waits, stop=reader.stop) as decoded:
        frames = islice(decoded, max_frames)
        try:
            with closing(read_batches(prepare, frames, size, fail)) as batches:
                for batch in batches:
                    for frame, result in predict_batch(predictor, batch, fail):
                        result.frame, result.time = frame.index, frame.time
                        yield frame, result if follow is None else follow(result)
        finally:
            reader.num_dropped = decoded.num_dropped
