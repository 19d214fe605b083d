"""A classifier made of sentences: for each class the mean direction of its prompts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .prompts import Prompts

Tokenizer = Callable[[list[str]], Tensor]


class TextEncoder(Protocol):
    """A model with a text tower."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Of the model; the first one tells the device."""

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Token ids [B, L] to features [B, D], of length 1 with `normalize`."""


class ClassDirections:
    """Sums of prompt features; a prompt is forgotten as soon as it is added.

    Attributes:
        sums: [K, D] float32, for the classes up to the highest that was added; None before the first prompt.
    """

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def add(self, features: Tensor, class_numbers: Sequence[int] | Tensor) -> None:
        """Add L2-normalised features [B, D] of prompts to the classes that they name."""
        numbers = torch.as_tensor(class_numbers, device=features.device)
        features = features.detach().float()
        num_classes = int(numbers.max()) + 1
        if self.sums is None:
            self.sums = features.new_zeros(num_classes, features.shape[1])
        elif num_classes > len(self.sums):
            self.sums = nn.functional.pad(self.sums, (0, 0, 0, num_classes - len(self.sums)))
        self.sums.index_add_(0, numbers, features)

    def weights(self) -> Tensor:
        """The L2-normalised mean of each class, [K, D] float32. (The mean and the sum have the same direction.)

        Raises:
            ValueError: no prompt was added.
        """
        if self.sums is None:
            raise ValueError("no prompt has been added to any class")
        return nn.functional.normalize(self.sums, dim=-1)


@torch.no_grad()
def build_zero_shot_weights(
    model: TextEncoder,
    tokenizer: Tokenizer,
    class_names: str | Sequence[str],
    templates: str | Sequence[str],
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> Tensor:
    """Encode all prompts, normalise, average over the prompts of a class, normalise.

    Logits of an image are its L2-normalised feature times these weights times a scale.

    Args:
        model: `Clip`, on any device.
        tokenizer: from sentences to token ids [B, L].
        class_names: K names, or a source of them, see `read_class_names`.
        templates: sentences with {} in the place of the class, or a source of them, see `read_templates`.
        batch_size: prompts that the model gets at once; no more are held.
        progress: show how far it is.

    Returns:
        [K, D] float32, L2-normalised, on the model's device.

    Raises:
        InputError: class names or templates that cannot be used.
    """
    prompts = Prompts(class_names, templates)
    directions = ClassDirections()
    device = next(model.parameters()).device
    with tqdm(total=len(prompts), unit="prompt", disable=not progress) as bar:
        for texts, numbers in prompts.batches(batch_size):
            features = model.encode_text(tokenizer(texts).to(device), normalize=True)
            directions.add(features, numbers)
            bar.update(len(texts))
    return directions.weights()
