"""The interface of a trained model: images in, results out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from eva_engine.data.image_file import read_rgb_image

from .inputs import Input
from .result import Result

Sample = TypeVar("Sample")
Answer = TypeVar("Answer", bound=Result)


class ImageSample(NamedTuple):
    """An image that is ready for a model.

    Attributes:
        path: File or address of the image, or another name for it.
        image: [H, W, 3] uint8 RGB, which the result keeps; None to keep none.
        size: (H, W) of the image in pixels.
        inputs: What the task's model takes.
    """

    path: str
    image: np.ndarray | None
    size: tuple[int, int]
    inputs: Any


class Predictor(ABC, Generic[Sample, Answer]):
    """A trained model with everything that its predictions need; every task has a subclass, which its `Task` names.

    A subclass has a class method ``from_config(cfg, weights, device, **options)``, which builds the model of a recipe
    and loads a weight file; its keyword-only parameters are the task's options for the predictor.

    Attributes:
        kinds: Kinds of inputs that `read` accepts, "image" or "video".
        batch_size: Number of inputs, or of parts of an input, per forward pass; can be set.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    batch_size: int = 1

    @abstractmethod
    def read(self, item: Input) -> Sample:
        """Read a file and prepare it for the model; called in threads.

        Raises:
            InputError: The file cannot be read, or the model cannot process it.
        """

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Answer]:
        """Run the model on a batch of samples and return the result of each.

        Raises:
            InputError: The model cannot process one of the samples, or its outputs are not finite.
        """

    def notes(self) -> list[str]:
        """Return remarks on the predictions so far, such as limits that were reached, as lines to print."""
        return []


class ImagePredictor(Predictor[ImageSample, Answer]):
    """A predictor for images.

    Attributes:
        apply_exif_orientation: Whether images are turned as their orientation tag says.
    """

    apply_exif_orientation: bool = True

    @abstractmethod
    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Transform an image for the model; called in threads.

        Args:
            image: [H, W, 3] uint8 RGB of any size.
            path: Name of the image in its result.

        Raises:
            InputError: The model cannot process an image of this shape.
        """

    def read(self, item: Input) -> ImageSample:
        """Read an image file and prepare it for the model."""
        image = read_rgb_image(item.path, apply_exif_orientation=self.apply_exif_orientation)
        return self.prepare(image, str(item.path))

    def __call__(self, image: np.ndarray, path: str = "") -> Answer:
        """Return the result for one image [H, W, 3] uint8 RGB; see `prepare` and `predict` for the errors."""
        return self.predict([self.prepare(image, path)])[0]
