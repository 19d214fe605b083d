"""The loader of evaluations that compare images with sentences: all images, then all sentences."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data import ImageCollate
from eva_engine.data.batching import Records
from eva_engine.data.eval_loader import EvalLoader

from ..evaluation.class_sources import class_numbers, folder_names
from ..evaluation.prompts import Prompts
from .retrieval_dataset import CaptionedImages
from .text_loader import TextLoader


class FeatureLoader:
    """Batches {"image": [B, 3, H, W], "label", "file_name"}, then {"text": [B, L], "owner"}: this process's parts.

    Args:
        images: the loader of the images.
        texts: the sentences.
    """

    def __init__(self, images: EvalLoader, texts: TextLoader) -> None:
        self.dataset = images.dataset
        self.images, self.texts = images, texts

    def __len__(self) -> int:
        return len(self.images) + len(self.texts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain(self.images, self.texts)


def zero_shot_loader(
    dataset: Records[Any],
    *,
    mapper: Callable[[Any], dict[str, Any]],
    class_names: str | Sequence[str],
    templates: str | Sequence[str],
    tokenizer: Callable[[list[str]], Tensor],
    batch_size: int = 64,
    text_batch_size: int = 256,
    num_workers: int = 0,
) -> FeatureLoader:
    """Images and the prompts of their classes, for `ZeroShotEvaluator`.

    Args:
        dataset: records of images with class numbers, `ImageDataset`.
        mapper: `ImageMapper`.
        class_names: in the order of the class numbers, see `read_class_names`; or "folders": those of the data set.
        templates: sentences with {} in the place of the class, see `read_templates`.
        tokenizer: from sentences to token ids [B, L].
        batch_size: images per batch of a process.
        text_batch_size: prompts per batch of a process.
        num_workers: processes that read images; 0: this one does.

    Raises:
        InputError: names or templates that cannot be used, or images of classes beyond the names.
    """
    prompts = Prompts(folder_names(dataset) if class_names == "folders" else class_names, templates)
    highest = max(class_numbers(dataset).values(), default=-1)
    if highest >= len(prompts.class_names):
        raise InputError(
            f"the images have class numbers up to {highest}, but there are {len(prompts.class_names)} class names; "
            "give a name for every class, in the order of the numbers."
        )
    images = EvalLoader(dataset, mapper=mapper, collate=ImageCollate(), batch_size=batch_size, num_workers=num_workers)
    return FeatureLoader(images, TextLoader(prompts, tokenizer, text_batch_size))


def retrieval_loader(
    dataset: CaptionedImages,
    *,
    mapper: Callable[[Any], dict[str, Any]],
    tokenizer: Callable[[list[str]], Tensor],
    batch_size: int = 64,
    text_batch_size: int = 256,
    num_workers: int = 0,
) -> FeatureLoader:
    """Images and their captions, for `RetrievalEvaluator`; the arguments are those of `zero_shot_loader`."""
    images = EvalLoader(dataset, mapper=mapper, collate=ImageCollate(), batch_size=batch_size, num_workers=num_workers)
    return FeatureLoader(images, TextLoader(dataset.captions, tokenizer, text_batch_size))
