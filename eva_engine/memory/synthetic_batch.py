"""What a recipe trains on, as far as a plan of its memory needs it; found by the model's class."""

from abc import ABC, abstractmethod
from typing import Any

from omegaconf import DictConfig
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.tasks import task_of_model


class SyntheticBatch(ABC):
    """Training batches of a recipe's sizes, made without data, and how the recipe's images become smaller.

    A package whose models can be planned has a subclass `MadeBatch` in its `data.synthetic_batch`.

    Args:
        cfg: the recipe.
        num_objects: in every image, where that matters; by default as many as there may be.

    Attributes:
        heads_follow_data: how many tensors there are behind the model's `backbone` is only known from their values.
        sees_all_processes: a step holds something of the samples of every process.
        parts_change: what is another result when an iteration's batch is taken in parts, in words; "" for nothing.
    """

    num_objects = 1
    heads_follow_data = False
    sees_all_processes = False
    parts_change = ""

    def __init__(self, cfg: DictConfig, num_objects: int | None = None) -> None:
        self.cfg = cfg
        self.num_objects = num_objects or self.num_objects

    @property
    @abstractmethod
    def side(self) -> int:
        """Of the images, in pixels.

        Raises:
            InputError: the recipe does not say.
        """

    @property
    def side_unit(self) -> int:
        """What sides are multiples of, in pixels."""
        return 64

    @property
    def sample(self) -> str:
        """What is counted by `dataloader.train.total_batch_size`, in words."""
        return f"image(s) of {self.side} x {self.side} pixels"

    @property
    def backbone_names(self) -> list[str]:
        """Patterns of the parameters that may stay as they are in fine-tuning; none where training starts from zero."""
        return []

    @property
    def recomputation(self) -> list[str]:
        """Overrides by which blocks are computed again in the backward pass."""
        return ["train.activation_checkpointing=torch"]

    @abstractmethod
    def make(self, num_samples: int) -> Any:
        """What the training loader would give to one process.

        Floating-point tensors may be a single number that is expanded: nothing is ever written into them.
        """

    @abstractmethod
    def resolution_overrides(self, side: int) -> list[str]:
        """Overrides by which the recipe trains on `side` x `side` pixels; none where another side makes no sense."""

    def companions(self, model: nn.Module) -> list[nn.Module]:  # noqa: ARG002
        """Modules that a training step of `model` runs, although they are no part of it."""
        return []


def find_synthetic_batch(cfg: DictConfig, model: nn.Module, num_objects: int | None = None) -> SyntheticBatch:
    """The training batches of the task that `model` belongs to.

    Raises:
        InputError: the model belongs to no installed task.
    """
    task = task_of_model(model)
    if task is None:
        raise InputError(
            f"{type(model).__name__} belongs to no installed task, so its training batches are unknown; derive it from "
            "a model of a task, or register its package as one."
        )
    return task.load("synthetic_batch")(cfg, num_objects)
