"""Semantic segmentation of files, for the command `predict`."""

from PIL import Image

from eva_engine.prediction import FileTask, Input
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import write_image

from .result import LabelMapResult


class SegmentationFileTask(FileTask):
    """Writes three files for every image.

    ``<stem>.jpg`` is the image with coloured classes and a legend; ``<stem>_labels.png`` contains the class indices;
    ``<stem>.json`` contains the fraction of the pixels that belongs to each class.
    """

    def write(self, item: Input, result: LabelMapResult) -> None:
        """Write the three files of an image."""
        target = self.folder / item.stem
        result.save(with_suffix(target, ".jpg"))
        write_image(Image.fromarray(result.labels), with_suffix(target, "_labels.png"), format="PNG")
        result.save(with_suffix(target, ".json"))
