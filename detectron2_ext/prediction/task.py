"""Detection and instance segmentation for the verb `predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.file_task import FileTask, with_suffix
from eva_engine.prediction.images import read_image, save_image
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.video import VideoFrame, VideoReader, VideoWriter

from .drawing import draw_instances
from .predictor import Predictor
from .records import save_image_record, video_record


class Task(FileTask[np.ndarray | None]):
    """Writes ``<stem>.jpg`` or ``<stem>.mp4`` with the detections drawn in, and ``<stem>.json``, for every input.

    Args:
        cfg, weights, device, score_threshold: see :class:`Predictor`.
        max_frames: frames to take from the beginning of each video; None for all.
        class_names: what the class indices mean, in place of what the recipe or the run says.
    """

    kinds = ("picture", "video")

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        score_threshold: float = 0.5,
        max_frames: int | None = None,
        class_names: Categories | None = None,
    ) -> None:
        super().__init__()
        self.counts.update(frames=0, detections=0)
        self.predictor = Predictor(cfg, weights, device, score_threshold, class_names)
        self.max_frames = max_frames

    def read(self, item: Input) -> np.ndarray | None:
        """A picture [H, W, 3] uint8 RGB; of a video nothing yet, whose frames are read one at a time."""
        return read_image(item.path) if item.kind == "picture" else None

    def predict(self, batch: Sequence[tuple[Input, np.ndarray | None]]) -> None:
        """Detect in a picture, or in the frames of a video; what was finished of a stopped or damaged video is kept."""
        for item, image in batch:
            target = self.folder / item.stem
            if image is None:
                self._predict_video(item.path, target)
            else:
                self._predict_picture(item.path, image, target)

    def _predict_picture(self, path: Path, image: np.ndarray, target: Path) -> None:
        found = self.predictor(image)
        categories = self.predictor.categories
        save_image(draw_instances(image, found, categories.names), with_suffix(target, ".jpg"))
        save_image_record(with_suffix(target, ".json"), path, found, categories, self.predictor.score_threshold)
        self.counts["detections"] += len(found)

    def _predict_video(self, path: Path, target: Path) -> None:
        categories, stopped = self.predictor.categories, None
        with VideoReader(path) as reader:
            frames = iter(reader)
            first = next(frames)
            height, width = first.image.shape[:2]
            frame: VideoFrame | None = first
            known = [n for n in (reader.num_frames, self.max_frames) if n]
            progress = tqdm(total=min(known, default=None), desc=path.name, unit="frame", leave=False)
            details = (path, width, height, self.predictor.score_threshold, categories)
            with (
                progress,
                atomic_path(with_suffix(target, ".mp4")) as partial,
                VideoWriter(partial, width, height, reader.rate, reader.time_base) as writer,
                video_record(with_suffix(target, ".json"), *details) as record,
            ):
                try:
                    while frame is not None and (self.max_frames is None or record.num_frames < self.max_frames):
                        found = self.predictor(frame.image)
                        writer.write(draw_instances(frame.image, found, categories.names, color_by="class"), frame.pts)
                        record.add(frame.time, found)
                        self.counts["detections"] += len(found)
                        progress.update()
                        frame = next(frames, None)
                except BaseException as error:
                    if record.num_frames == 0:
                        raise
                    stopped = error  # hours of work may lie behind: both files are ended properly first
                record.close(f"stopped by {type(stopped).__name__}" if stopped else reader.problem)
                self.counts["frames"] += record.num_frames
        if stopped:
            raise stopped
        if reader.problem:
            done = f"the {record.num_frames} frames that could be read are written"
            raise InputError(f"{path}: {reader.problem}; {done}.")
