"""Detection and instance segmentation for the command `predict`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.frame_file_task import FrameFileTask
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import ImageSample
from eva_engine.prediction.video import VideoFrame

from .drawing import draw_instances
from .formats import Write, check_input_names, open_formats, open_frame_formats
from .predictor import DetectionPredictor
from .result import BOX_FORMAT, DetectionResult
from .tracking import check_tracking


class DetectionFileTask(FrameFileTask):
    """Write `<stem>.jpg` or `<stem>.mp4` with the detections drawn in, and `<stem>.json`, for every input.

    The detections are also written in other formats, see `formats`: one set of files for all images, and one for the
    frames of each video.

    Args:
        predictor: The detector.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        frame_stride: Only the first of every `frame_stride` frames of a video is processed and written.
        track: Whether objects get identities across the frames of a video.
        save_as: Names of further formats for the detections, keys of `formats.FORMATS`.
        no_images: Write no drawn images and videos.

    Raises:
        InputError: Tracking needs a package that is not installed.
    """

    frame_key = "detections"
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
        super().__init__(predictor, max_frames=max_frames, frame_stride=frame_stride)
        if track:
            check_tracking()
        self.counts["detections"] = 0
        self.track = track
        self.save_as = save_as
        self.no_images = no_images
        self.draws_videos = not no_images
        self.collects_images = "crops" in save_as
        self._formats: list[Write] = []

    def open(self, stack: ExitStack) -> None:
        """Open the files of the further formats for images.

        Raises:
            InputError: One of them would have the name of an input's own result or cannot be written for a video, or an
                option for videos was given and there is no video.
        """
        super().open(stack)
        check_input_names(self.save_as, self.inputs)
        images = [item for item in self.inputs if item.kind == "image"]
        if images:
            self._formats = open_formats(self.save_as, self.folder, images, self.predictor.categories, stack)

    def read(self, item: Input) -> ImageSample:
        """Read an image, which is kept only if something is drawn or cut out."""
        sample = self.predictor.read(item)
        if self.no_images and not self.collects_images:
            return sample._replace(image=None)
        return sample

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
        self.count(result)

    def count(self, result: DetectionResult) -> None:
        """Count the detections."""
        self.counts["detections"] += len(result)

    def draw_frame(self, frame: np.ndarray, result: DetectionResult) -> np.ndarray:
        """Draw the detections in the colours of their classes or, if objects are tracked, of their identities."""
        color_by = "class" if result.track_ids is None else "track"
        return draw_instances(frame, result.to_instances(), result.class_names, color_by=color_by)

    def video_facts(self) -> Mapping[str, Any]:
        """Return the format of the boxes and the score threshold."""
        return {"box_format": BOX_FORMAT, "score_threshold": self.predictor.score_threshold}

    @contextmanager
    def frame_files(self, item: Input) -> Iterator[Callable[[VideoFrame, DetectionResult], None]]:
        """Yield a function that writes the detections of a frame in the further formats."""
        with ExitStack() as stack:
            yield open_frame_formats(self.save_as, self.folder, item, self.predictor.categories, stack)
