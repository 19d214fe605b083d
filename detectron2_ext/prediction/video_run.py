"""Detect objects in the frames of a video, a camera or a stream, in batches."""

from collections.abc import Generator
from contextlib import closing
from itertools import islice

from eva_backbone.errors import InputError
from eva_engine.prediction.file_run import predict_batch
from eva_engine.prediction.predictor import ImageSample
from eva_engine.prediction.prefetch import Prefetch
from eva_engine.prediction.read_ahead import read_batches
from eva_engine.prediction.video import VideoFrame, VideoReader

from .predictor import DetectionPredictor
from .result import DetectionResult


def frame_results(
    predictor: DetectionPredictor,
    reader: VideoReader,
    *,
    batch_size: int | None = None,
    max_frames: int | None = None,
    track: bool = False,
) -> Generator[tuple[VideoFrame, DetectionResult]]:
    """Yield each frame of a video with its objects, in order; the next frames are decoded in the meantime.

    At most about three batches of frames are in memory. Of a camera that is faster than the model, frames are left out.

    Args:
        predictor: The detector.
        reader: Video from `eva_engine.prediction.frame_source.opened_frames`.
        batch_size: Number of frames per forward pass; by default that of the predictor.
        max_frames: Number of frames after which to stop; None for all.
        track: Whether the objects get identities, `DetectionResult.track_ids`.

    Raises:
        InputError: No frame can be decoded, the model cannot process the frames, or tracking needs a package that is
            not installed.
    """
    size = batch_size or predictor.batch_size
    rate = float(reader.rate) / reader.frame_stride
    follow = predictor.tracker(rate) if track else None

    def prepare(frame: VideoFrame) -> ImageSample:
        return predictor.prepare(frame.image, reader.name)

    def fail(_frame: VideoFrame, error: InputError) -> None:
        raise error  # all frames have the same size, so the others would fail, too

    with Prefetch(reader, size, drops_old=not reader.waits, stop=reader.stop) as decoded:
        frames = islice(decoded, max_frames)
        try:
            with closing(read_batches(prepare, frames, size, fail)) as batches:
                for batch in batches:
                    for frame, result in predict_batch(predictor, batch, fail):
                        yield frame, result if follow is None else follow(result)
        finally:
            reader.num_dropped = decoded.num_dropped
