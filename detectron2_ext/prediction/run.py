"""Predict on many pictures and videos: what fails is named and counted, the rest goes on, what is finished stays."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from detectron2_ext.atomic import atomic_path
from eva_backbone.errors import InputError

from .drawing import draw_instances
from .images import read_image, save_image
from .inputs import Input
from .predictor import Predictor
from .records import save_image_record, video_record
from .video import VideoReader, VideoWriter


@dataclass
class Summary:
    """Counts of a run; ``failures`` holds one sentence each, also for videos of which only a part could be read."""

    num_images: int = 0
    num_videos: int = 0
    num_frames: int = 0
    num_detections: int = 0
    failures: list[str] = field(default_factory=list)


def predict_files(
    predictor: Predictor,
    inputs: Sequence[Input],
    output: str | Path,
    max_frames: int | None = None,
    report: Callable[[str], None] = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Write ``<stem>.jpg`` or ``<stem>.mp4`` and ``<stem>.json`` for every input below ``output``.

    Args:
        predictor: the model.
        inputs: from :func:`list_inputs`.
        output: folder, made where missing; older results of the same names are replaced.
        max_frames: frames to take from the beginning of each video; None for all.
        report: is handed each failure when it happens.

    Raises:
        InputError: ``output`` cannot be made.
    """
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: no folder for the results ({error.strerror}): give another --output.") from error
    summary = Summary()
    progress = tqdm(inputs, desc="predict", unit="file")
    for item in progress:
        progress.set_postfix_str(item.path.name)
        target = Path(output, item.stem)
        try:
            if item.kind == "image":
                _predict_image(predictor, item.path, target, summary)
            else:
                _predict_video(predictor, item.path, target, max_frames, summary)
        except InputError as error:
            message = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
            summary.failures.append(message)
            report(f"failed: {message}")
    return summary


def _predict_image(predictor: Predictor, path: Path, target: Path, summary: Summary) -> None:
    image = read_image(path)
    found = predictor(image)
    names = predictor.categories.names
    save_image(draw_instances(image, found, names), _with_suffix(target, ".jpg"))
    save_image_record(_with_suffix(target, ".json"), path, found, predictor.categories, predictor.score_threshold)
    summary.num_images += 1
    summary.num_detections += len(found)


def _predict_video(predictor: Predictor, path: Path, target: Path, max_frames: int | None, summary: Summary) -> None:
    names, stopped = predictor.categories.names, None
    with VideoReader(path) as reader:
        frames = iter(reader)
        first = next(frames)
        height, width = first.image.shape[:2]
        known = [n for n in (reader.num_frames, max_frames) if n]
        progress = tqdm(total=min(known, default=None), desc=path.name, unit="frame", leave=False)
        details = (path, width, height, predictor.score_threshold, predictor.categories)
        with (
            progress,
            atomic_path(_with_suffix(target, ".mp4")) as partial,
            VideoWriter(partial, width, height, reader.rate, reader.time_base) as writer,
            video_record(_with_suffix(target, ".json"), *details) as record,
        ):
            frame = first
            try:
                while frame is not None and (max_frames is None or record.num_frames < max_frames):
                    found = predictor(frame.image)
                    writer.write(draw_instances(frame.image, found, names, color_by="class"), frame.pts)
                    record.add(frame.time, found)
                    summary.num_detections += len(found)
                    progress.update()
                    frame = next(frames, None)
            except BaseException as error:
                if record.num_frames == 0:
                    raise
                stopped = error  # hours of work may lie behind: both files are ended properly first
            record.close(f"stopped by {type(stopped).__name__}" if stopped else reader.problem)
            summary.num_frames += record.num_frames
    if stopped:
        raise stopped
    summary.num_videos += 1
    if reader.problem:
        raise InputError(f"{path}: {reader.problem}; the {record.num_frames} frames that could be read are written.")


def _with_suffix(target: Path, suffix: str) -> Path:
    # Path.with_suffix would cut "scan.v2" to "scan".
    return target.with_name(target.name + suffix)
