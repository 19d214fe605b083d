"""Synthetic training batches of a recipe's sizes, with which a memory plan runs a training step."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.tasks import task_of_model

from .fake_step import StepSettings, run_fake_inference, run_fake_step
from .planned_model import model_on_meta
from .tracker import Phase


class SyntheticBatch(ABC):
    """Training batches of a recipe's sizes without data, and the overrides that make them smaller.

    Every task has a subclass, which its `Task` names.

    Args:
        cfg: The recipe.
        num_objects: Objects in every image, where they matter; by default as many as there may be.

    Attributes:
        couples_processes: A step keeps something of the samples of all processes.
        micro_batch_effect: What changes in the result when a batch is split into micro-batches; "" for nothing.
    """

    num_objects = 1
    couples_processes = False
    micro_batch_effect = ""

    def __init__(self, cfg: DictConfig, num_objects: int | None = None) -> None:
        self.cfg = cfg
        self.num_objects = num_objects or self.num_objects

    @property
    @abstractmethod
    def side(self) -> int:
        """Side of the images in pixels.

        Raises:
            InputError: The recipe does not determine it.
        """

    @property
    def side_multiple(self) -> int:
        """Number of pixels that every side must be a multiple of."""
        return 64

    @property
    def sample(self) -> str:
        """Description of what `dataloader.train.total_batch_size` counts."""
        return f"image(s) of {self.side} x {self.side} pixels"

    @property
    def backbone_patterns(self) -> list[str]:
        """Patterns of the parameters that fine-tuning may freeze; none where training starts from random weights."""
        return []

    @property
    def checkpointing_overrides(self) -> list[str]:
        """Overrides that switch activation checkpointing on."""
        return ["train.activation_checkpointing=torch"]

    @abstractmethod
    def make(self, num_samples: int) -> Any:
        """Make the batch that the training loader would give to one process.

        Floating-point tensors may be a single number that is expanded: nothing is written into them.
        """

    @abstractmethod
    def resolution_overrides(self, side: int) -> list[str]:
        """Return the overrides that train on `side` x `side` pixels; none where another side makes no sense."""

    def extra_modules(self, model: nn.Module) -> list[nn.Module]:  # noqa: ARG002
        """Return modules outside of `model` that its training step runs, such as a frozen teacher."""
        return []

    def measure_step(
        self,
        num_samples: int,
        settings: StepSettings,
        report: Callable[[str], None],  # noqa: ARG002
        cache: dict[str, Any],  # noqa: ARG002
    ) -> list[Phase]:
        """Measure what a training step holds, on tensors without storage.

        Args:
            num_samples: Samples in the batch of a process.
            settings: How the step is computed.
            report: Called with a line about work that takes long.
            cache: Results of earlier measurements of the same planner, to be reused.
        """
        model = model_on_meta(self.cfg)
        return run_fake_step(model, self.make(num_samples), settings, self.extra_modules(model))

    def measure_inference(self, device_type: str, report: Callable[[str], None]) -> int:  # noqa: ARG002
        """Measure what a forward pass of one sample holds beyond the weights, in bytes, on tensors without storage.

        Args:
            device_type: "cuda" or "cpu", whose kernels are assumed.
            report: Called with a line about work that takes long.
        """
        model = model_on_meta(self.cfg)
        return run_fake_inference(model, self.make(1), device_type, self.extra_modules(model))


def find_synthetic_batch(cfg: DictConfig, model: nn.Module, num_objects: int | None = None) -> SyntheticBatch:
    """Return the training batches of the task that `model` belongs to.

    Raises:
        InputError: The model belongs to no installed task.
    """
    task = task_of_model(model)
    if task is None:
        raise InputError(
            f"{type(model).__name__} belongs to no installed task, so its training batches are unknown; derive it from "
            "a model of a task, or register its package as one."
        )
    return task.load("synthetic_batch")(cfg, num_objects)


def synthetic_batch(cfg: DictConfig) -> SyntheticBatch:
    """Return the training batches of the task of a recipe.

    Raises:
        InputError: The model belongs to no installed task.
    """
    return find_synthetic_batch(cfg, model_on_meta(cfg))


def overrides_for_side(cfg: DictConfig, side: int) -> list[str]:
    """Return the overrides with which the recipe trains on images of `side` x `side` pixels.

    Raises:
        InputError: The recipe's images have one size only, or `side` is not a multiple of the patch.
    """
    batch = synthetic_batch(cfg)
    overrides = batch.resolution_overrides(side)
    if not overrides:
        raise InputError(f"this recipe trains on {batch.side} pixels only; leave {side} out of --resolutions")
    if side % batch.side_multiple:
        raise InputError(f"a side of {side} pixels is not a multiple of {batch.side_multiple}; choose one that is")
    return overrides
