"""Bytes per GPU by number of processes, for copies of the model (DDP), its parts (FSDP2), and parts off the GPU."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .advice import Load
from .planner import Prediction, Predictor

DEFAULT_RANKS = (1, 2, 4, 8, 16, 32, 64)
_WAYS = (
    ("train.parallel=ddp",),
    ("train.parallel=fsdp", "train.fsdp.cpu_offload=False"),
    ("train.parallel=fsdp", "train.fsdp.cpu_offload=True"),
)


@dataclass(frozen=True)
class RankRow:
    """Predictions for `num_ranks` GPUs with one image each: DDP, FSDP2, FSDP2 with offload."""

    num_ranks: int
    predictions: tuple[Prediction, Prediction, Prediction]

    @property
    def host(self) -> int:
        """Bytes per rank in the memory of the CPU, with offload."""
        return self.predictions[2].persistent_memory.host


def rank_table(load: Load, predictor: Predictor, ranks: Sequence[int] = DEFAULT_RANKS) -> Iterator[RankRow]:
    """One row per entry of `ranks`."""
    for num_ranks in ranks:
        one_image = ("train.accumulation_steps=1", f"dataloader.train.total_batch_size={num_ranks}")
        ddp, fsdp, offloaded = (predictor.predict(load([*way, *one_image]), num_ranks=num_ranks) for way in _WAYS)
        yield RankRow(num_ranks, (ddp, fsdp, offloaded))
