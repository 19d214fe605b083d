"""Detection and instance segmentation for the command `predict`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import chain

from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.prediction.file_task import FileTask, with_suffix
from eva_engine.prediction.frame_run import frame_results
from eva_engine.prediction.frame_source import opened_frames
from eva_engine.prediction.in_order import InOrder
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import ImageSample
from eva_engine.prediction.video import VideoFrame, VideoReader, VideoWriter

from .drawing import draw_instances
from .formats import Write, check_input_names, open_formats
from .predictor import DetectionPredictor
from .records import open_video_record
from .result import DetectionResult
from .tracking import check_tracking


class DetectionFileTask(FileTask):
    """Write `<stem>.jpg` or `<stem>.mp4` with the detections drawn in, and `<stem>.json`, for every input.

    The detections in images are also written in other formats, see `formats`.

    Args:
        predictor: The detector.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        frame_stride: Only the first of every `frame_stride` frames of a video is processed and written.
        track: Whether objects get identities across the frames of a video.
        save_as: Names of further formats for the detections in images, keys of `formats.FORMATS`.
        no_images: Write no drawn images and videos.

    Raises:
        InputError: Tracking needs a package that is not installed.
    """

    kinds = ("image", "video")
    predictor: DetectionPredictor

    def __init__(
        self,
        predictor: DetectionPredictor,
        *,
        max_frames: int | None = None,
        frame_stride: int = 1,
        track: bool = False,
        save_as: Sequence[str] = (),
        no_images: bool = False,
    ) -> None:
        super().__init__(predictor)
        if track:
            check_tracking()
        self.counts.update(frames=0, detections=0)
        self.max_frames, self.frame_stride, self.track = max_frames, frame_stride, track
        self.num_dropped = 0
        self.save_as = save_as
        self.no_images = no_images
        self.collects_images = "crops" in save_as
        self._formats: list[Write] = []

    def open(self, stack: ExitStack) -> None:
        """Open the files of the further formats.

        Raises:
            InputError: One of them would have the name of an input's own result, or an option for videos was given and
                there is no video.
        """
        check_input_names(self.save_as, self.inputs)
        self._check_video_options()
        images = [item for item in self.inputs if item.kind == "image"]
        self._formats = open_formats(self.save_as, self.folder, images, self.predictor.categories, stack)

    def _check_video_options(self) -> None:
        given = {
            "--max-frames": self.max_frames is not None,
            "--frame-stride": self.frame_stride != 1,
            "--track": self.track,
        }
        flags = [flag for flag, is_given in given.items() if is_given]
        if flags and not any(item.kind == "video" for item in self.inputs):
            raise InputError(f"{', '.join(flags)}: for videos, but there is none among the inputs; leave it out.")

    def read(self, item: Input) -> ImageSample:
        """Read an image, which is kept only if something is drawn or cut out."""
        sample = self.predictor.read(item)
        return sample._replace(image=None) if self.no_images and not self.collects_images else sample

    def write(self, item: Input, result: DetectionResult) -> None:
        """Write the drawn image, the record of its detections and the further formats."""
        target = self.folder / item.stem
        if not self.no_images:
            result.save(with_suffix(target, ".jpg"))
        result.save(with_suffix(target, ".json"))

    def collect(self, item: Input, result: DetectionResult) -> None:
        """Count the detections of an image, and write them in the further formats."""
        for write in self._formats:
            write(item, result)
        self.counts["detections"] += len(result)

    def predict_video(self, item: Input) -> None:
        """Detect in the frames of a video; the finished part of an interrupted or damaged video is kept.

        Raises:
            InputError: The video is damaged; the frames that could be read are written.
        """
        with opened_frames(item, frame_stride=self.frame_stride) as reader:
            results = frame_results(self.predictor, reader, max_frames=self.max_frames, track=self.track)
            with closing(results):
                num_frames = self._write_video(item, reader, results)
            self.num_dropped += reader.num_dropped
            problem = reader.problem
        if problem:
            raise InputError(f"{item.name}: {problem}; the {num_frames} frames that could be read are written.")

    def _write_video(
        self, item: Input, reader: VideoReader, results: Iterator[tuple[VideoFrame, DetectionResult]]
    ) -> int:
        """Draw and write the results of a video, and return the number of frames."""
        target = self.folder / item.stem
        first = next(results)
        height, width = first[0].image.shape[:2]
        interruption: BaseException | None = None
        with (
            tqdm(total=self._num_frames(reader), desc=item.path.name, unit="frame", leave=False) as progress,
            self._video_writer(item, reader, width, height) as writer,
            open_video_record(
                with_suffix(target, ".json"), item.name, width, height, self.predictor.score_threshold
            ) as record,
            InOrder() as behind,
        ):

            def write(frame: VideoFrame, result: DetectionResult) -> None:
                if writer is not None:
                    color_by = "class" if result.track_ids is None else "track"
                    drawn = draw_instances(frame.image, result.to_instances(), result.class_names, color_by=color_by)
                    writer.write(drawn, frame.pts)
                record.add(frame.index, frame.time, result)

            try:
                for frame, result in chain([first], results):
                    behind.run(write, frame, result)
                    self.counts["detections"] += len(result)
                    progress.update()
                behind.wait()
            except BaseException as error:
                # A long video may have taken hours: complete both files before the error is raised again.
                interruption = error
                behind.wait()
                if record.num_frames == 0:
                    raise
            problem = f"stopped by {type(interruption).__name__}" if interruption else reader.problem
            record.close(problem)
            self.counts["frames"] += record.num_frames
        if interruption:
            raise interruption
        return record.num_frames

    def _num_frames(self, reader: VideoReader) -> int | None:
        """Return the number of frames to process, or None if it is not known."""
        limits = [self.max_frames] if self.max_frames else []
        if reader.num_frames:
            limits.append(-(-reader.num_frames // self.frame_stride))  # rounded up
        return min(limits, default=None)

    def remarks(self) -> Counter[str]:
        """Return the remarks of the predictor, and how many frames of cameras and streams were left out."""
        dropped = (
            "{} frames of cameras and streams were left out, because they came faster than the model works; give "
            "--frame-stride to leave out frames at equal intervals"
        )
        return super().remarks() + Counter({dropped: self.num_dropped})

    @contextmanager
    def _video_writer(self, item: Input, reader: VideoReader, width: int, height: int) -> Iterator[VideoWriter | None]:
        """Open the drawn video, unless none is wanted."""
        if self.no_images:
            yield None
            return
        rate = reader.rate / self.frame_stride
        with (
            atomic_path(with_suffix(self.folder / item.stem, ".mp4")) as partial,
            VideoWriter(partial, width, height, rate, reader.time_base) as writer,
        ):
            yield writer
