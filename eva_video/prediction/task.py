"""Video classification for `predict`."""

from contextlib import ExitStack
from pathlib import Path

from eva_engine.atomic import atomic_path
from eva_engine.prediction import FileTask, Input
from eva_engine.prediction.file_task import print_result, with_suffix
from eva_engine.prediction.json_text import json_lines

from .predictor import VideoPredictor
from .result import VideoClassificationResult


class VideoFileTask(FileTask):
    """Print the five most likely classes of each video, and write a filmstrip `<stem>.png` and `classes.jsonl`.

    Each line of `classes.jsonl` is {"video": path, "filmstrip": path, "classes": [{"class": index, "name": ...,
    "probability": 0 to 1}, ...]}, most likely class first, with "problem" for a damaged or truncated file.

    Args:
        predictor: The predictor.
        no_images: Draw no filmstrips; the lines do not name them.
    """

    kinds = ("video",)

    def __init__(self, predictor: VideoPredictor, *, no_images: bool = False) -> None:
        super().__init__(predictor)
        self.no_images = no_images

    def open(self, stack: ExitStack) -> None:
        """Start an empty `classes.jsonl`, replacing an existing one."""
        self.write_line = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def write(self, item: Input, result: VideoClassificationResult) -> None:
        """Draw the filmstrip of a video."""
        if self.no_images:
            return
        with atomic_path(self._filmstrip(item)) as partial:
            partial.write_bytes(result.filmstrip())

    def collect(self, item: Input, result: VideoClassificationResult) -> None:
        """Print and write the classes of a video."""
        print_result(f"{item.name}: {result.summary()}")
        document = result.to_dict()
        drawn = {} if self.no_images else {"filmstrip": str(self._filmstrip(item))}
        self.write_line({"video": document.pop("video"), **drawn, **document})

    def _filmstrip(self, item: Input) -> Path:
        return with_suffix(self.folder / item.stem, ".png")
