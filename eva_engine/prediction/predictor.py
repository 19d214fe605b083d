"""The interface of a trained model: images in, results out."""

import copy
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.deep_image import ValueRange
from eva_engine.data.image_file import read_rgb_image

from .download import local_file
from .inputs import Input
from .result import Result

if TYPE_CHECKING:
    import torch
    from torch import nn

Sample = TypeVar("Sample")
Answer = TypeVar("Answer", bound=Result)
_COUNT_LOCK = threading.Lock()


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
        call_options: Names of the options that `with_options` can change, because the model does not depend on them.
        model: The model, in evaluation mode.
        class_names: Name of each class of the results.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    batch_size: int = 1
    call_options: ClassVar[tuple[str, ...]] = ()
    model: "nn.Module"
    class_names: Sequence[str]

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

    def check_ready(self) -> None:
        """Raise InputError if an option without which no input can be predicted has no value yet."""

    def with_options(self, **options: Any) -> Self:
        """Return a predictor with the same model and other values of some `call_options`.

        Raises:
            InputError: A value cannot be used.
        """
        changed = copy.copy(self)
        for name, value in options.items():
            setattr(changed, name, value)
        return changed

    def for_features(self) -> Self:
        """Return the predictor that prepares samples for `backbone_input`: each is a single input of the model."""
        return self

    def backbone_input(self, sample: Sample) -> "torch.Tensor":  # noqa: ARG002
        """Return the normalised pixels [1, 3, H, W], or for videos [1, 3, T, H, W], that the backbone gets.

        Args:
            sample: A sample of `for_features`.

        Raises:
            InputError: The task does not say what its backbone gets.
        """
        raise InputError("models of this task give no features of their backbone; use the model itself.")

    def tracker(self, rate: float) -> Callable[[Answer], Answer]:  # noqa: ARG002
        """Return a function that adds identities to the objects of one frame of a video after the other.

        Args:
            rate: Frames per second.

        Raises:
            InputError: The results have no objects, or tracking needs a package that is not installed.
        """
        raise InputError("this model finds no objects that could be tracked; leave track out.")

    def remarks(self) -> Counter[str]:
        """Return remarks on the predictions so far, with {} for a number, and that number for each.

        Processes that share the inputs add up their numbers.
        """
        return Counter()


class ImagePredictor(Predictor[ImageSample, Answer]):
    """A predictor for images.

    Attributes:
        apply_exif_orientation: Whether images are turned as their orientation tag says.
        value_range: Values of black and of white in images with more than 8 bits per channel; None refuses these.
        num_with_frames: Number of image files so far of which only the first of several frames or pages was read.
    """

    apply_exif_orientation: bool = True
    value_range: ValueRange | None = None
    num_with_frames: int = 0

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
        """Read an image file, or download one, and prepare it for the model."""
        with local_file(item) as path:
            image = read_rgb_image(
                path,
                item.name,
                apply_exif_orientation=self.apply_exif_orientation,
                value_range=self.value_range,
                on_further_frames=self.count_frames,
            )
        return self.prepare(image, item.name)

    def remarks(self) -> Counter[str]:
        """Return in how many files only the first of several frames or pages was read."""
        return Counter(
            {"only the first frame or page was read of {} image files that have several": self.num_with_frames}
        )

    def count_frames(self) -> None:
        """Count an image of which only the first of several frames or pages is used."""
        with _COUNT_LOCK:  # several threads read
            self.num_with_frames += 1

    def __call__(self, image: np.ndarray, path: str = "") -> Answer:
        """Return the result for one image [H, W, 3] uint8 RGB; see `prepare` and `predict` for the errors."""
        return self.predict([self.prepare(image, path)])[0]
