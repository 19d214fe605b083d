"""Ranks of the right answers among all candidates, and recall@k."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

# Scores of 16 million pairs are 64 MB.
_PAIRS_AT_ONCE = 1 << 24


def best_ranks(queries: Tensor, candidates: Tensor, right: Sequence[Sequence[int]]) -> Tensor:
    """Rank of the best right candidate of each query, 0 for the best of all; scores are dot products.

    Among equal scores the candidate with the lower number comes first, so that ranks do not depend on a sort. The
    scores are made for some queries at a time.

    Args:
        queries: [Q, D] finite features.
        candidates: [N, D] finite features, on the same device.
        right: numbers of the candidates that are right, at least one for each query.

    Returns:
        [Q] int64 on the CPU.
    """
    order = torch.arange(len(candidates), device=candidates.device)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(candidates)))
    ranks = []
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ candidates.T
        # [pairs]: query within the part, and one of its right candidates
        answers = right[start : start + step]
        rows = torch.tensor([row for row, numbers in enumerate(answers) for _ in numbers], device=scores.device)
        columns = torch.tensor([number for numbers in answers for number in numbers], device=scores.device)
        found = scores[rows, columns]
        best = scores.new_full((len(scores),), -torch.inf).scatter_reduce_(0, rows, found, "amax")
        # Of right candidates with the best score the first one.
        first = columns.where(found == best[rows], len(candidates))
        number = order.new_full((len(scores),), len(candidates)).scatter_reduce_(0, rows, first, "amin")
        ahead = scores > best[:, None]
        ahead |= (scores == best[:, None]) & (order < number[:, None])
        ranks.append(ahead.sum(1).cpu())
    return torch.cat(ranks)


def recall_at(ranks: Tensor, cutoffs: Iterable[int], num_queries: int | None = None) -> dict[str, float]:
    """{"R@1": ..., ...}: per cent of the queries with a right candidate among the first k.

    Args:
        ranks: see `best_ranks`.
        cutoffs: the k.
        num_queries: how many there are in all, where some have no rank and count as failed; None: as many as ranks.
    """
    total = len(ranks) if num_queries is None else num_queries
    return {f"R@{k}": 100 * int((ranks < k).sum()) / total if total else float("nan") for k in cutoffs}
