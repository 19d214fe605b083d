"""Detection and instance segmentation for the command `predict`."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.prediction.file_task import FileTask, with_suffix
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import ImageSample
from eva_engine.prediction.video import VideoFrame, VideoReader, VideoWriter

from .drawing import draw_instances
from .formats import Write, open_formats
from .predictor import DetectionPredictor
from .records import open_video_record
from .result import DetectionResult


class DetectionFileTask(FileTask):
    """Write `<stem>.jpg` or `<stem>.mp4` with the detections drawn in, and `<stem>.json`, for every input.

    The detections in images are also written in other formats, see `formats`.

    Args:
        predictor: The detector.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        save_as: Names of further formats for the detections in images, keys of `formats.FORMATS`.
        no_images: Write no drawn images and videos.
    """

    kinds = ("image", "video")
    predictor: DetectionPredictor

    def __init__(
        self,
        predictor: DetectionPredictor,
        *,
        max_frames: int | None = None,
        save_as: Sequence[str] = (),
        no_images: bool = False,
    ) -> None:
        super().__init__(predictor)
        self.counts.update(frames=0, detections=0)
        self.max_frames = max_frames
        self.save_as = save_as
        self.no_images = no_images
        self._formats: list[Write] = []

    def open(self, stack: ExitStack) -> None:
        """Open the files of the further formats."""
        images = [item for item in self.inputs if item.kind == "image"]
        self._formats = open_formats(self.save_as, self.folder, images, self.predictor.categories, stack)

    def read(self, item: Input) -> ImageSample:
        """Read an image, which is kept only if something is drawn or cut out."""
        sample = self.predictor.read(item)
        return sample._replace(image=None) if self.no_images and "crops" not in self.save_as else sample

    def write(self, item: Input, result: DetectionResult) -> None:
        """Write the drawn image, the record of its detections and the further formats."""
        target = self.folder / item.stem
        if not self.no_images:
            result.save(with_suffix(target, ".jpg"))
        result.save(with_suffix(target, ".json"))
        for write in self._formats:
            write(item, result)
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
                self._video_writer(item, reader, width, height) as writer,
                open_video_record(with_suffix(target, ".json"), path, width, height, threshold) as record,
            ):
                try:
                    while frame is not None and (self.max_frames is None or record.num_frames < self.max_frames):
                        result = self.predictor(frame.image)
                        instances, names = result.to_instances(), result.class_names
                        if writer is not None:
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

    @contextmanager
    def _video_writer(self, item: Input, reader: VideoReader, width: int, height: int) -> Iterator[VideoWriter | None]:
        """Open the drawn video, unless none is wanted."""
        if self.no_images:
            yield None
            return
        with (
            atomic_path(with_suffix(self.folder / item.stem, ".mp4")) as partial,
            VideoWriter(partial, width, height, reader.rate, reader.time_base) as writer,
        ):
            yield writer
