"""Image classification for the command `predict`."""

from contextlib import ExitStack

from eva_engine.prediction import FrameFileTask, Input
from eva_engine.prediction.file_task import print_result
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.predictor import ImageSample

from .result import ClassificationResult


class ClassificationFileTask(FrameFileTask):
    """Print the five most likely classes of each image and write them to ``classes.jsonl``.

    Each line of the file is {"image": path, "classes": [{"class": index, "name": ..., "probability": 0 to 1}, ...]},
    most likely class first. For every video, `<stem>.json` has a line with "classes" for each frame.
    """

    frame_key = "classes"

    def open(self, stack: ExitStack) -> None:
        """Create classes.jsonl, replacing an older one."""
        super().open(stack)
        self.write_line = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def read(self, item: Input) -> ImageSample:
        """Read an image, and keep only the model's input: a batch of photos would take much memory."""
        return self.predictor.read(item)._replace(image=None)

    def collect(self, item: Input, result: ClassificationResult) -> None:
        """Print and write the classes of an image."""
        print_result(f"{item.name}: {result.summary()}")
        self.write_line(result.to_dict())
