"""The interface between exports and a task: its graphs, a model in terms of their outputs, how results compare."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import nn

from eva_engine.config.class_list import store_class_list
from eva_engine.prediction.predictor import Predictor

from .graph import ExportGraph

if TYPE_CHECKING:
    from .exported_model import ExportedModel


@dataclass(frozen=True)
class ExportOptions:
    """What the user chose.

    Attributes:
        image_size: Side in pixels of the model's input for tasks that take images of several sizes; None for the size
            of the recipe.
        dynamic_size: Whether height and width may vary.
        batch_size: Number of samples per forward pass; None for any number.
        dtype: Type of the weights, "float32", "float16" or "bfloat16".
    """

    image_size: int | None = None
    dynamic_size: bool = False
    batch_size: int | None = None
    dtype: str = "float32"


@dataclass
class Agreement:
    """How well the results of an exported model agree with those of the original; `+` combines two.

    Attributes:
        differences: Largest absolute difference of each quantity, such as "probability" or "box (pixels)".
        num_matched: Number of findings (objects, classes, pixels, ...) that are the same in both.
        num_findings: Number of findings that were compared.
    """

    differences: Mapping[str, float] = field(default_factory=dict)
    num_matched: int = 0
    num_findings: int = 0

    @property
    def matched(self) -> float:
        """Fraction of findings that are the same in both, 1 if there are none."""
        return self.num_matched / self.num_findings if self.num_findings else 1.0

    def __add__(self, other: "Agreement") -> "Agreement":
        differences = dict(self.differences)
        for name, value in other.differences.items():
            differences[name] = float(np.maximum(differences.get(name, 0.0), value))  # unlike max(), keeps every NaN
        return Agreement(differences, self.num_matched + other.num_matched, self.num_findings + other.num_findings)


class TaskExport(ABC):
    """Exports of a task; every task that has them names a subclass in its `Task` as `export`.

    Attributes:
        formats: Formats that the task has, "onnx", "openvino" or "torch".
        tolerances: By dtype, the largest difference that is accepted for each quantity of `Agreement.differences`. In 8
            bits any difference is accepted as long as the findings match.
        least_matched: By dtype, the smallest fraction of findings that must be the same.
        example: Module that predicts with the file, with NumPy, Pillow and ONNX Runtime only; its source code is
            written next to the file on request. "" if there is none.
    """

    formats: ClassVar[tuple[str, ...]] = ("onnx", "openvino", "torch")
    tolerances: ClassVar[Mapping[str, Mapping[str, float]]]
    least_matched: ClassVar[Mapping[str, float]] = {"float32": 0.99, "float16": 0.95, "bfloat16": 0.9, "int8": 0.9}
    example: ClassVar[str] = ""

    @abstractmethod
    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graphs of the predictor's model, which is on the CPU and in the dtype of `options`.

        Raises:
            InputError: The model cannot be exported, or not with these options.
        """

    @abstractmethod
    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:
        """Return values for JSON that the model in terms of the graphs, and a runner without PyTorch, need.

        For example thresholds, the size of the input and the mean and standard deviation of pixels.
        """

    @abstractmethod
    def stand_in(self, exported: "ExportedModel", cfg: Any) -> nn.Module:
        """Return a module that the task's predictor and the evaluation of its recipes can use as the model.

        Args:
            exported: The exported file, with its graphs as functions and its settings.
            cfg: The recipe in the file with the changes of the user, such as those of windows.

        Raises:
            InputError: A setting of the file or of the recipe cannot be used.
        """

    def run(self, predictor: Predictor[Any, Any], samples: Sequence[Any]) -> None:
        """Run all graphs on samples, for example to record their inputs."""
        predictor.predict(samples)

    def store_names(self, cfg: Any, predictor: Predictor[Any, Any]) -> None:
        """Store the names of the predictor's classes in the recipe of the file, if the user or a run gave them."""
        store_class_list(cfg, predictor.class_names)

    @abstractmethod
    def compare(
        self, original: Predictor[Any, Any], exported: Predictor[Any, Any], samples: Sequence[Any]
    ) -> Agreement:
        """Predict on samples of `Predictor.read` with both, and return how well the results agree."""
