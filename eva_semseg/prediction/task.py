"""Semantic segmentation of files, for the command `predict`."""

from PIL import Image

from eva_engine.prediction import FileTask, Input
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import write_image
from eva_engine.prediction.predictor import ImageSample

from .predictor import SegmentationPredictor
from .result import LabelMapResult


class SegmentationFileTask(FileTask):
    """Writes three files for every image.

    ``<stem>.jpg`` is the image with coloured classes and a legend; ``<stem>_labels.png`` contains the class indices;
    ``<stem>.json`` contains the fraction of the pixels that belongs to each class.

    Args:
        predictor: The predictor.
        no_images: Do not write the coloured images.
    """

    def __init__(self, predictor: SegmentationPredictor, *, no_images: bool = False) -> None:
        super().__init__(predictor)
        self.no_images = no_images

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
