"""The loader of evaluations: every image once, split among the processes."""

from collections.abc import Iterator
from typing import Any

from eva_engine.data.batching import Records
from eva_engine.data.eval_loader import EvaluationSamples, Mapper


class TestLoader:
    """The images of this process, in their order, one by one: images differ in size.

    Args:
        dataset: the records.
        mapper: from a record to the model's input, `EvaluationMapper`.
        num_workers: processes that map; 0: this one does.

    Raises:
        InputError: while iterating, an image that cannot be used.
    """

    __test__ = False  # no test class, although its name begins like one

    def __init__(self, dataset: Records[Any], *, mapper: Mapper, num_workers: int = 0) -> None:
        self.dataset = dataset
        self._images = EvaluationSamples(dataset, mapper, num_workers=num_workers)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Lists of one image each, as the mapper returns it."""
        for image in self._images:
            yield [image]
