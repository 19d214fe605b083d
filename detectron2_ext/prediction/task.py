"""Detection and instance segmentation for the command `predict`."""

from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.prediction.file_task import FileTask, with_suffix
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.video import VideoFrame, VideoReader, VideoWriter

from .drawing import draw_instances
from .predictor import DetectionPredictor
from .records import open_video_record
from .result import DetectionResult


class DetectionFileTask(FileTask):
    """Write `<stem>.jpg` or `<stem>.mp4` with the detections drawn in, and `<stem>.json`, for every input.

    Args:
        predictor: The detector.
        max_frames: Number of frames to process from the beginning of each video; None for all.
    """

    kinds = ("image", "video")
    predictor: DetectionPredictor

    def __init__(self, predictor: DetectionPredictor, *, max_frames: int | None = None) -> None:
        super().__init__(predictor)
        self.counts.update(frames=0, detections=0)
        self.max_frames = max_frames

    def write(self, item: Input, result: DetectionResult) -> None:
        """Write the drawn image and the record of its detections."""
        target = self.folder / item.stem
        result.save(with_suffix(target, ".jpg"))
        result.save(with_suffix(target, ".json"))

    def collect(self, item: Input, result: DetectionResult) -> None:  # noqa: ARG002
        """Count the detections of an image."""
        self.counts["detections"] += len(result)

    def predict_video(self, item: Input) -> None:
        """Detect in the frames of a video; the finished part of an interrupted or damaged video is kept.

        Raises:
            InputError: The video is damaged; the frames that could be read are written.
        """
        path, target = item.path, self.folder / item.stem
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
                open_video_record(with_suffix(target, ".json"), path, width, height, threshold) as record,
            ):
                try:
                    while frame is not None and (self.max_frames is None or record.num_frames < self.max_frames):
                        result = self.predictor(frame.image)
                        instances, names = result.to_instances(), result.class_names
                        writer.write(draw_instances(frame.image, instances, names, color_by="class"), frame.pts)
                        record.add(frame.time, result)
                        self.counts["detections"] += len(result)
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
