"""Sentences as batches of token ids, split among the processes."""

from collections.abc import Callable, Iterator, Sized
from typing import Any

from detectron2.data.samplers import InferenceSampler
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.batching import Records


class TextLoader(Sized):
    """This process's part of the sentences, in their order; tokenised when asked for.

    Args:
        texts: each sentence with what it belongs to: a class number, the file name of an image.
        tokenizer: from sentences to token ids [B, L].
        batch_size: sentences per batch of a process.

    Raises:
        InputError: no sentence, or a batch size below 1.
    """

    def __init__(
        self, texts: Records[tuple[str, Any]], tokenizer: Callable[[list[str]], Tensor], batch_size: int = 256
    ) -> None:
        if batch_size < 1:
            raise InputError(f"text_batch_size={batch_size} must be 1 or more.")
        if not len(texts):
            raise InputError("there is no sentence to encode; give at least one.")
        self.texts = texts
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._numbers = InferenceSampler(len(texts))

    def __len__(self) -> int:
        return -(-len(self._numbers) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """{"text": ids [B, L], "owner": list of what they belong to}."""
        numbers = list(self._numbers)
        for start in range(0, len(numbers), self.batch_size):
            texts, owners = zip(
                *(self.texts[number] for number in numbers[start : start + self.batch_size]), strict=True
            )
            yield {"text": self.tokenizer(list(texts)), "owner": list(owners)}
