"""The answer of a model for one image, video frame or video: what all tasks' results have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

from .images import SUFFIXES, save_image
from .json_text import to_json

if TYPE_CHECKING:
    import pandas
    import supervision


@dataclass(eq=False, repr=False, kw_only=True)
class Result(ABC):
    """The answer of a model for one image, video frame or video.

    All tasks share these attributes and methods; an attribute that a kind of answer does not have is None. N is the
    number of findings: objects, or classes. Results can be pickled and need no model.

    Attributes:
        path: File or address of the input, or another name for it; "" for an image in memory.
        image: [H, W, 3] uint8 RGB, what `plot` draws on; None if it was not kept.
        class_names: Name of each class of the model; `class_ids` are indices into it.
        class_ids: [N] int64, class of each finding.
        scores: [N] float32, 0 to 1, score of each finding; the best is first.
        boxes: [N, 4] float32, (x0, y0, x1, y1) in pixels of the image.
        frame: Number of a video frame, from 0; None for an image.
        time: Time of the frame in seconds.
        reached_limits: Limits of the model without which there might be more findings, each with its option.
    """

    path: str = ""
    image: np.ndarray | None = None
    class_names: Sequence[str]
    class_ids: np.ndarray | None = None
    scores: np.ndarray | None = None
    boxes: np.ndarray | None = None
    frame: int | None = None
    time: float | None = None
    reached_limits: tuple[str, ...] = ()

    @property
    def masks(self) -> np.ndarray | None:
        """[N, H, W] bool, mask of each finding."""
        return None

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """Return one record per finding, of numbers and texts that JSON has."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the document that `predict` writes for this input: numbers, texts, lists and dicts that JSON has."""

    @abstractmethod
    def _draw(self, image: np.ndarray) -> np.ndarray:
        """Return an image [H', W', 3] uint8 RGB with the answer drawn on `image`, which stays unchanged."""

    @abstractmethod
    def summary(self) -> str:
        """Return the findings in a few words."""

    def __len__(self) -> int:
        """Return the number of findings."""
        return len(self.records())

    def __repr__(self) -> str:
        """Return the kind of the result, its input and a summary, such as `DetectionResult(a.jpg: 2 dog, 1 cat)`."""
        time = "" if self.time is None else f" at {self.time:.2f} s"
        return f"{type(self).__name__}({self.path or 'image'}{time}: {self.summary()})"

    def plot(self) -> Image.Image:
        """Draw the answer on the image.

        Raises:
            InputError: The result was made without keeping its image.
        """
        if self.image is None:
            raise InputError("this result has no image to draw on; predict with keep_images=True.")
        return Image.fromarray(self._draw(self.image))

    def save(self, path: str | Path) -> Path:
        """Save the drawn image, or, to a file with the suffix .json, what `to_dict` returns.

        The file appears complete or not at all. Its folder is created if it is missing.

        Args:
            path: File with the suffix .jpg, .png, .webp or .json.

        Returns:
            The path.

        Raises:
            InputError: Another suffix, no image to draw on, or an image that is too large for a JPEG.
            OSError: The file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix != ".json" and suffix not in SUFFIXES:
            raise InputError(f"{path}: unknown suffix; save a result as {', '.join(SUFFIXES)} or .json.")
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".json":
            with atomic_path(path) as partial:
                partial.write_text(to_json(self.to_dict()) + "\n", encoding="utf-8")
            return path
        save_image(np.asarray(self.plot()), path)
        return path

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a table with a row per finding and the columns of `records`.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise InputError("to_pandas needs pandas: pip install pandas.") from error
        return pandas.DataFrame(self.records())

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the findings in COCO's format of results, if they have a location.

        Args:
            image_id: Id of the image in the annotation file that the results belong to.

        Raises:
            InputError: The findings are classes of the image, for which COCO has no format.
        """
        raise InputError("COCO has no format for classes of an image; use to_dict or to_pandas.")

    def with_score_threshold(self, threshold: float) -> Self:  # noqa: ARG002
        """Return a copy without the findings whose score is below `threshold`, as if the model had been asked for it.

        Args:
            threshold: Lowest score, 0 to 1; at least that with which the model was run.

        Raises:
            InputError: The findings are classes or texts, which have no threshold.
        """
        raise InputError("the results of this model have no score threshold; leave it out.")

    def to_supervision(self) -> "supervision.Classifications | supervision.Detections":
        """Return the findings as an object of supervision.

        Objects, and the classes of a label map, are `Detections` with decoded masks; classes of an image are
        `Classifications`.

        Raises:
            InputError: supervision is not installed.
        """
        return import_supervision().Classifications(class_id=self.class_ids, confidence=self.scores)

    def without_image(self) -> Self:
        """Return a copy that does not keep the image, for collecting many results in memory."""
        return replace(self, image=None)


def import_supervision() -> Any:
    """Return the package supervision.

    Raises:
        InputError: It is not installed.
    """
    try:
        import supervision
    except ModuleNotFoundError as error:
        raise InputError("to_supervision needs supervision: pip install supervision.") from error
    return supervision
