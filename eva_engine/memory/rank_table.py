"""Memory per GPU by number of processes, with DDP, FSDP2, and FSDP2 with offload."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .advice import Load
from .planner import MemoryPlan, MemoryPlanner

DEFAULT_RANKS = (1, 2, 4, 8, 16, 32, 64)
_STRATEGIES = (
    ("train.parallel=ddp",),
    ("train.parallel=fsdp", "train.fsdp.cpu_offload=False"),
    ("train.parallel=fsdp", "train.fsdp.cpu_offload=True"),
)


@dataclass(frozen=True)
class RankRow:
    """Plans for `num_ranks` GPUs with one sample each: DDP, FSDP2, FSDP2 with offload."""

    num_ranks: int
    plans: tuple[MemoryPlan, MemoryPlan, MemoryPlan]

    @property
    def host(self) -> int:
        """Bytes per process in the memory of the CPU, with offload."""
        return self.plans[2].persistent.host


def rank_table(load: Load, planner: MemoryPlanner, ranks: Sequence[int] = DEFAULT_RANKS) -> Iterator[RankRow]:
    """Yield a row for each number of processes in `ranks`."""
    for num_ranks in ranks:
        one_sample = ("train.accumulation_steps=1", f"dataloader.train.total_batch_size={num_ranks}")
        ddp, fsdp, offloaded = (planner.plan(load([*way, *one_sample]), num_ranks=num_ranks) for way in _STRATEGIES)
        yield RankRow(num_ranks, (ddp, fsdp, offloaded))
