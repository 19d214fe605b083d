"""Loaders for evaluations that compare images with texts: all images, then all texts."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data import ImageCollate
from eva_engine.data.batching import MapStyleDataset
from eva_engine.data.eval_loader import EvalLoader
from eva_engine.data.samplers import ContiguousSampler
from eva_engine.data.workers import TIMEOUT

from ..evaluation.class_names import check_names_of_folders, class_numbers, folder_names
from ..evaluation.prompts import ClassPrompts
from .retrieval_dataset import RetrievalDataset


class TextLoader:
    """Batches of this process's part of the texts, in their order; texts are tokenized when a batch is loaded.

    Args:
        texts: Pairs of a text and its target: a class number, or the file name of an image.
        tokenizer: Function from texts to token ids [B, L].
        batch_size: Texts per batch and process.

    Raises:
        InputError: There is no text, or the batch size is not positive.
    """

    def __init__(
        self, texts: MapStyleDataset[tuple[str, Any]], tokenizer: Callable[[list[str]], Tensor], batch_size: int = 256
    ) -> None:
        if batch_size < 1:
            raise InputError(f"text_batch_size={batch_size} must be 1 or more.")
        if not len(texts):
            raise InputError("there is no text to encode; give at least one.")
        self.texts = texts
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._indices = list(ContiguousSampler(len(texts)))

    def __len__(self) -> int:
        """Return the number of batches of this process, rounded up."""
        return -(-len(self._indices) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield batches {"text": token ids [B, L], "target": list of the B texts' targets}."""
        for start in range(0, len(self._indices), self.batch_size):
            texts, targets = [], []
            for index in self._indices[start : start + self.batch_size]:
                text, target = self.texts[index]
                texts.append(text)
                targets.append(target)
            yield {"text": self.tokenizer(texts), "target": targets}


class ImageTextLoader:
    """This process's batches of images, then its batches of texts.

    Batches of images are {"image": [B, 3, H, W], "label", "file_name"}; those of texts {"text": [B, L], "target"}.

    Args:
        images: Loader of the images.
        texts: Loader of the texts.
    """

    def __init__(self, images: EvalLoader, texts: TextLoader) -> None:
        self.dataset = images.dataset
        self.images, self.texts = images, texts

    def __len__(self) -> int:
        """Return the number of batches of this process."""
        return len(self.images) + len(self.texts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain(self.images, self.texts)


def build_zero_shot_loader(
    dataset: MapStyleDataset[Any],
    *,
    mapper: Callable[[Any], dict[str, Any]],
    class_names: str | Sequence[str],
    templates: str | Sequence[str],
    tokenizer: Callable[[list[str]], Tensor],
    batch_size: int = 64,
    text_batch_size: int = 256,
    num_workers: int = 0,
    timeout: float = TIMEOUT,
) -> ImageTextLoader:
    """Build the loader of images and of the prompts of their classes, for `ZeroShotEvaluator`.

    Args:
        dataset: Images with class numbers, such as an `ImageDataset`.
        mapper: Mapper of the images, an `eva_classification.data.EvaluationMapper`.
        class_names: Names in the order of the class numbers or a source of them, see `read_class_names`; "folders" for
            the folder names of the dataset.
        templates: Texts with {} for the class name or a source of them, see `read_templates`.
        tokenizer: Function from texts to token ids [B, L].
        batch_size: Images per batch and process.
        text_batch_size: Prompts per batch and process.
        num_workers: Number of processes that load images; 0 loads in this process.
        timeout: Seconds after which iterating stops if these processes deliver nothing; 0 waits without limit.

    Raises:
        InputError: The names or templates are unusable, or there are images of classes without a name.
    """
    if class_names == "folders":
        class_names = folder_names(dataset)
    prompts = ClassPrompts(class_names, templates)
    check_names_of_folders(dataset, prompts.class_names)
    highest = max(class_numbers(dataset).values(), default=-1)
    if highest >= len(prompts.class_names):
        raise InputError(
            f"the images have class numbers up to {highest}, but there are {len(prompts.class_names)} class names; "
            "give a name for every class, in the order of the numbers."
        )
    images = EvalLoader(
        dataset,
        mapper=mapper,
        collate=ImageCollate(),
        batch_size=batch_size,
        num_workers=num_workers,
        timeout=timeout,
    )
    return ImageTextLoader(images, TextLoader(prompts, tokenizer, text_batch_size))


def build_retrieval_loader(
    dataset: RetrievalDataset,
    *,
    mapper: Callable[[Any], dict[str, Any]],
    tokenizer: Callable[[list[str]], Tensor],
    batch_size: int = 64,
    text_batch_size: int = 256,
    num_workers: int = 0,
    timeout: float = TIMEOUT,
) -> ImageTextLoader:
    """Build the loader of images and of their captions, for `RetrievalEvaluator`.

    Args:
        dataset: Images with their captions.
        mapper: Mapper of the images, an `eva_classification.data.EvaluationMapper`.
        tokenizer: Function from texts to token ids [B, L].
        batch_size: Images per batch and process.
        text_batch_size: Captions per batch and process.
        num_workers: Number of processes that load images; 0 loads in this process.
        timeout: Seconds after which iterating stops if these processes deliver nothing; 0 waits without limit.
    """
    images = EvalLoader(
        dataset,
        mapper=mapper,
        collate=ImageCollate(),
        batch_size=batch_size,
        num_workers=num_workers,
        timeout=timeout,
    )
    return ImageTextLoader(images, TextLoader(dataset.captions, tokenizer, text_batch_size))
