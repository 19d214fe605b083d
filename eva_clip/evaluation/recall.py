"""Ranks of the positives among all candidates, and recall@k."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

# Limits memory: the float32 scores of 16 million pairs take 64 MiB.
_PAIRS_AT_ONCE = 1 << 24


def best_positive_ranks(queries: Tensor, candidates: Tensor, positives: Sequence[Sequence[int]]) -> Tensor:
    """Compute for each query the rank of its best positive among all candidates, 0 for the highest score.

    Scores are dot products, computed for a part of the queries at a time. Candidates with equal scores are ordered by
    their index, so that ranks do not depend on a sorting algorithm.

    Args:
        queries: Finite features [Q, D].
        candidates: Finite features [N, D] on the same device.
        positives: Indices of the matching candidates of each query, at least one.

    Returns:
        Ranks [Q] int64 on the CPU.
    """
    order = torch.arange(len(candidates), device=candidates.device)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(candidates)))
    ranks = []
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ candidates.T
        # All pairs of a query of this part (its row of the scores) and one of its positives (a column).
        row_list, column_list = [], []
        for row, indices in enumerate(positives[start : start + step]):
            for index in indices:
                row_list.append(row)
                column_list.append(index)
        rows = torch.tensor(row_list, device=scores.device)
        columns = torch.tensor(column_list, device=scores.device)
        positive_scores = scores[rows, columns]
        best = scores.new_full((len(scores),), -torch.inf).scatter_reduce_(0, rows, positive_scores, "amax")
        # The best positive of a query: of its positives with the best score the one with the lowest index.
        tied = columns.where(positive_scores == best[rows], len(candidates))
        best_index = order.new_full((len(scores),), len(candidates)).scatter_reduce_(0, rows, tied, "amin")
        # Its rank is the number of candidates before it. Counting them is cheaper than sorting the scores.
        is_before = scores > best[:, None]
        is_before |= (scores == best[:, None]) & (order < best_index[:, None])
        ranks.append(is_before.sum(1).cpu())
    return torch.cat(ranks)


def recall_at_k(ranks: Tensor, cutoffs: Iterable[int], num_queries: int | None = None) -> dict[str, float]:
    """Compute recall@k, the percentage of queries with a positive among the k best candidates.

    Args:
        ranks: Ranks of the best positives, see `best_positive_ranks`.
        cutoffs: Values of k.
        num_queries: Number of all queries, if some have no rank and count as failed; None for the number of ranks.

    Returns:
        {"R@1": percentage, ...}; NaN without queries.
    """
    total = len(ranks) if num_queries is None else num_queries
    recall = {}
    for k in cutoffs:
        hits = int((ranks < k).sum())
        recall[f"R@{k}"] = 100 * hits / total if total else float("nan")
    return recall
