"""Semantic segmentation of files, for the command `predict`."""

import numpy as np
from PIL import Image

from eva_engine.prediction import FrameFileTask, Input
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import write_image
from eva_engine.prediction.predictor import ImageSample

from .drawing import draw_labels
from .predictor import SegmentationPredictor
from .result import LabelMapResult


class SegmentationFileTask(FrameFileTask):
    """Writes three files for every image, and two for every video.

    ``<stem>.jpg`` is the image with coloured classes and a legend; ``<stem>_labels.png`` contains the class indices;
    ``<stem>.json`` contains the fraction of the pixels that belongs to each class. Of a video, ``<stem>.mp4`` has
    coloured classes without a legend, and ``<stem>.json`` a line with the fractions for each frame.

    Args:
        predictor: The predictor.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        frame_stride: Only the first of every `frame_stride` frames of a video is processed and written.
        no_images: Do not write the coloured images and videos.
    """

    frame_key = "classes"

    def __init__(
        self,
        predictor: SegmentationPredictor,
        *,
        max_frames: int | None = None,
        frame_stride: int = 1,
        no_images: bool = False,
    ) -> None:
        super().__init__(predictor, max_frames=max_frames, frame_stride=frame_stride)
        self.no_images = no_images
        self.draws_videos = not no_images

    def read(self, item: Input) -> ImageSample:
        """Read an image, which is kept only to be coloured."""
        sample = self.predictor.read(item)
        return sample._replace(image=None) if self.no_images else sample

    def write(self, item: Input, result: LabelMapResult) -> None:
        """Write the three files of an image."""
        target = self.folder / item.stem
        if not self.no_images:
            result.save(with_suffix(target, ".jpg"))
        write_image(Image.fromarray(result.labels), with_suffix(target, "_labels.png"), format="PNG")
        result.save(with_suffix(target, ".json"))

    def draw_frame(self, frame: np.ndarray, result: LabelMapResult) -> np.ndarray:
        """Colour the classes; a legend would change the size from frame to frame."""
        return draw_labels(frame, result.labels)
