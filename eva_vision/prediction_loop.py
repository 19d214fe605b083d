"""Predict on sources with bounded memory: read ahead, form batches, and yield one result after the other."""

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data.deep_image import ValueRange, scale_to_8_bits
from eva_engine.data.image_file import has_further_frames, image_errors, load_image
from eva_engine.prediction.file_run import predict_batch
from eva_engine.prediction.frame_run import frame_results
from eva_engine.prediction.frame_source import opened_frames
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import ImageSample, Predictor
from eva_engine.prediction.read_ahead import read_batches
from eva_engine.prediction.result import Result
from eva_engine.safe_text import printable

from .sources import Source, log_problem, logger


def predict_sources(
    predictor: Predictor[Any, Any], sources: Iterable[Source], batch_size: int, keep_images: bool
) -> Generator[Result]:
    """Yield the result of each source, in order.

    Args:
        predictor: The predictor.
        sources: What to predict on.
        batch_size: Number of images per forward pass.
        keep_images: Whether the results keep their images, for drawing.

    Raises:
        InputError: A source cannot be read or predicted on. One that was found in a folder is logged and left out.
    """
    for batch in sample_batches(predictor, sources, batch_size, keep_images):
        for source, result in predict_batch(predictor, batch, _fail):
            result.frame, result.time = source.frame, source.time
            yield result


def predict_frames(
    predictor: Predictor[Any, Any],
    video: Input,
    batch_size: int,
    keep_images: bool,
    *,
    frame_stride: int = 1,
    max_frames: int | None = None,
    track: bool = False,
) -> Generator[Result]:
    """Yield the result of each frame of a video, a camera or a stream; the next frames are decoded in the meantime.

    Args:
        predictor: The predictor.
        video: The video. Of a camera that is faster than the model, frames are left out.
        batch_size: Number of frames per forward pass.
        keep_images: Whether the results keep their frames, for drawing.
        frame_stride: Only the first of every `frame_stride` frames is predicted on.
        max_frames: Number of frames after which to stop; None for all.
        track: Whether objects get identities across the frames.

    Raises:
        InputError: The video cannot be read, or the model finds no objects that could be tracked.
    """
    with opened_frames(video, frame_stride=frame_stride) as reader:
        results = frame_results(
            predictor, reader, batch_size=batch_size, max_frames=max_frames, track=track, keep_images=keep_images
        )
        with closing(results):
            for _, result in results:
                yield result
        log_problem(reader)


def sample_batches(
    predictor: Predictor[Any, Any], sources: Iterable[Source], batch_size: int, keep_images: bool
) -> Generator[list[tuple[Source, Any]]]:
    """Yield batches of sources with the samples that the predictor makes of them; see `predict_sources`."""

    def read(source: Source) -> Any:
        sample = _read(predictor, source)
        if isinstance(sample, ImageSample) and not keep_images:
            return sample._replace(image=None)
        return sample

    with closing(read_batches(read, sources, batch_size, _fail)) as batches:
        yield from batches


def _read(predictor: Any, source: Source) -> Any:
    if isinstance(source.content, Input):
        return predictor.read(source.content)
    image = source.content
    if isinstance(image, Image.Image):
        image = _decode(image, source.name, predictor)
    elif image.dtype == np.uint16:
        image = _reduce(image, source.name, predictor.value_range)
    return predictor.prepare(image, source.name)


def _decode(image: Image.Image, name: str, predictor: Any) -> np.ndarray:
    with image_errors(name or "an image"):
        if has_further_frames(image):
            predictor.count_frames()
        loaded = load_image(image, predictor.apply_exif_orientation)
        if image.mode.startswith(("I", "F")):
            return _reduce(np.asarray(loaded), name, predictor.value_range)
        return np.array(loaded.convert("RGB"))


def _reduce(values: np.ndarray, name: str, value_range: ValueRange | None) -> np.ndarray:
    """Return values [H, W] or [H, W, 3] of more than 8 bits as [H, W, 3] uint8."""
    if value_range is None:
        raise InputError(
            f"{name or 'an image'}: more than 8 bits per channel ({values.dtype}), so black and white levels are "
            "unknown; convert the image to 8 bits first, or load the model with value_range=(LOW, HIGH)."
        )
    scaled = scale_to_8_bits(values, value_range)
    return np.repeat(scaled[:, :, None], 3, axis=2) if scaled.ndim == 2 else scaled


def _fail(source: Source, error: InputError) -> None:
    message = str(error) if source.name in str(error) else f"{source.name}: {error}"
    if not source.is_from_folder:
        raise InputError(message) from error
    logger.warning("failed: %s", printable(message))
