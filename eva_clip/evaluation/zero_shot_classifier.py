"""Weights of the zero-shot classifier: for each class the mean embedding of its prompts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .prompts import ClassPrompts

Tokenizer = Callable[[list[str]], Tensor]


class TextEncoder(Protocol):
    """A model with a text tower, such as `Clip`."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the model; the first one determines the device."""

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Embed token ids [B, L] as features [B, D], of unit length if `normalize` is set."""


class ZeroShotWeightAccumulator:
    """Sum of the prompt features of each class; the features themselves are not kept.

    Attributes:
        sums: [K, D] float32, where K - 1 is the highest class number so far; None before the first prompt.
    """

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def add(self, features: Tensor, class_numbers: Sequence[int] | Tensor) -> None:
        """Add features of prompts to the sums of their classes.

        Args:
            features: L2-normalised features [B, D].
            class_numbers: Class number of each prompt, [B].
        """
        numbers = torch.as_tensor(class_numbers, device=features.device)
        features = features.detach().float()
        num_classes = int(numbers.max()) + 1
        if self.sums is None:
            self.sums = features.new_zeros(num_classes, features.shape[1])
        elif num_classes > len(self.sums):
            self.sums = nn.functional.pad(self.sums, (0, 0, 0, num_classes - len(self.sums)))
        self.sums.index_add_(0, numbers, features)

    def weights(self) -> Tensor:
        """Return the L2-normalised mean of each class, [K, D] float32.

        Sums are enough for this: the mean and the sum have the same direction.

        Raises:
            ValueError: No prompt was added.
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
    """Compute classifier weights from prompts: encode, L2-normalise, average over a class's prompts, L2-normalise.

    The logits of images are their L2-normalised features [B, D] times the transposed weights, times a scale.

    Args:
        model: `Clip` on any device.
        tokenizer: Function from texts to token ids [B, L].
        class_names: K names or a source of them, see `read_class_names`.
        templates: Texts with {} for the class name or a source of them, see `read_templates`.
        batch_size: Prompts that are encoded at a time; no other prompt features are in memory.
        progress: Show a progress bar.

    Returns:
        L2-normalised weights [K, D] float32 on the device of the model.

    Raises:
        InputError: The class names or templates are unusable.
    """
    prompts = ClassPrompts(class_names, templates)
    accumulator = ZeroShotWeightAccumulator()
    device = next(model.parameters()).device
    with tqdm(total=len(prompts), unit="prompt", disable=not progress) as bar:
        for texts, class_numbers in prompts.batches(batch_size):
            features = model.encode_text(tokenizer(texts).to(device), normalize=True)
            accumulator.add(features, class_numbers)
            bar.update(len(texts))
    return accumulator.weights()
