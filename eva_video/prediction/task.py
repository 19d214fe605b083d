"""Video classification for `predict`."""

from contextlib import ExitStack
from pathlib import Path

from eva_engine.atomic import atomic_path
from eva_engine.prediction import FileTask, Input
from eva_engine.prediction.file_task import print_result, with_suffix
from eva_engine.prediction.json_text import json_lines

from .result import VideoClassificationResult


class VideoFileTask(FileTask):
    """Print the five most likely classes of each video, and write a filmstrip `<stem>.png` and `classes.jsonl`.

    Each line of `classes.jsonl` is {"video": path, "filmstrip": path, "classes": [{"class": index, "name": ...,
    "probability": 0 to 1}, ...]}, most likely class first, with "problem" for a damaged or truncated file.
    """

    kinds = ("video",)

    def open(self, stack: ExitStack) -> None:
        """Start an empty `classes.jsonl`, replacing an existing one."""
        self.write_line = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def write(self, item: Input, result: VideoClassificationResult) -> None:
        """Draw the filmstrip of a video."""
        with atomic_path(self._filmstrip(item)) as partial:
            partial.write_bytes(result.filmstrip())

    def collect(self, item: Input, result: VideoClassificationResult) -> None:
        """Print and write the classes of a video."""
        print_result(f"{item.name}: {result.summary()}")
        document = result.to_dict()
        self.write_line({"video": document.pop("video"), "filmstrip": str(self._filmstrip(item)), **document})

    def _filmstrip(self, item: Input) -> Path:
        return with_suffix(self.folder / item.stem, ".png")
