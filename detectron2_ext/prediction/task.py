"""Detection and instance segmentation for the command `predict`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import Instances
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.data import read_rgb_image
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.file_task import FileTask, with_suffix
from eva_engine.prediction.images import save_image
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.video import VideoFrame, VideoReader, VideoWriter

from .drawing import draw_instances
from .predictor import DetectionPredictor
from .records import open_video_record, save_image_record


class DetectionFileTask(FileTask[np.ndarray | None]):
    """Write `<stem>.jpg` or `<stem>.mp4` with the detections drawn in, and `<stem>.json`, for every input.

    Args:
        cfg: Recipe of the model.
        weights: Weight file of the model.
        device: "auto" or a torch device name.
        score_threshold: Detections with a lower score are dropped.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        class_names: Categories to use instead of those of the recipe or the run.
        dtype: Type of the parameters.
    """

    kinds = ("image", "video")

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        score_threshold: float = 0.5,
        max_frames: int | None = None,
        class_names: Categories | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.counts.update(frames=0, detections=0)
        self.predictor = DetectionPredictor.from_config(cfg, weights, device, score_threshold, class_names, dtype=dtype)
        self.max_frames = max_frames
        self.reached_limits: Counter[str] = Counter()

    def read(self, item: Input) -> np.ndarray | None:
        """Return an image as uint8 RGB [H, W, 3], or None for a video, whose frames are decoded one at a time."""
        return read_rgb_image(item.path) if item.kind == "image" else None

    def predict(self, batch: Sequence[tuple[Input, np.ndarray | None]]) -> None:
        """Detect in images and in the frames of videos; the finished part of an interrupted or damaged video is kept.

        Raises:
            InputError: A video is damaged; the frames that could be read are written.
        """
        for item, image in batch:
            target = self.folder / item.stem
            if image is None:
                self._predict_video(item.path, target)
            else:
                self._predict_image(item.path, image, target)

    def _predict_image(self, path: Path, image: np.ndarray, target: Path) -> None:
        detections = self.predictor(image)
        categories = self.predictor.categories
        save_image(draw_instances(image, detections, categories.names), with_suffix(target, ".jpg"))
        save_image_record(with_suffix(target, ".json"), path, detections, categories, self.predictor.score_threshold)
        self._count(detections)

    def notes(self) -> list[str]:
        """Return for each limit on detections in how many images and frames it was reached."""
        notes = []
        for limit, count in self.reached_limits.items():
            notes.append(f"limit reached in {count} images or frames, which may have more objects: {limit}")
        return notes

    def _count(self, detections: Instances) -> None:
        self.counts["detections"] += len(detections)
        self.reached_limits.update(self.predictor.reached_limits)

    def _predict_video(self, path: Path, target: Path) -> None:
        categories = self.predictor.categories
        threshold = self.predictor.score_threshold
        interruption: BaseException | None = None
        with VideoReader(path) as reader:
            frames = iter(reader)
            first = next(frames)
            height, width = first.image.shape[:2]
            frame: VideoFrame | None = first
            known_limits = [limit for limit in (reader.num_frames, self.max_frames) if limit]
            with (
                tqdm(total=min(known_limits, default=None), desc=path.name, unit="frame", leave=False) as progress,
                atomic_path(with_suffix(target, ".mp4")) as partial,
                VideoWriter(partial, width, height, reader.rate, reader.time_base) as writer,
                open_video_record(with_suffix(target, ".json"), path, width, height, threshold, categories) as record,
            ):
                try:
                    while frame is not None and (self.max_frames is None or record.num_frames < self.max_frames):
                        detections = self.predictor(frame.image)
                        drawn = draw_instances(frame.image, detections, categories.names, color_by="class")
                        writer.write(drawn, frame.pts)
                        record.add(frame.time, detections)
                        self._count(detections)
                        progress.update()
                        frame = next(frames, None)
                except BaseException as error:
                    if record.num_frames == 0:
                        raise
                    # A long video may have taken hours: complete both files before the error is raised again.
                    interruption = error
                problem = f"stopped by {type(interruption).__name__}" if interruption else reader.problem
                record.close(problem)
                self.counts["frames"] += record.num_frames
        if interruption:
            raise interruption
        if reader.problem:
            raise InputError(
                f"{path}: {reader.problem}; the {record.num_frames} frames that could be read are written."
            )
