"""The queries of a retrieval whose best match has the worst rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_WORST = 12


@dataclass(frozen=True)
class WorstQuery:
    """A query with a late match.

    Attributes:
        query: Index of the caption, or of the image.
        rank: Rank of its best match, 0 for the first.
        first: Index of the candidate with the highest score, an image or a caption.
    """

    query: int
    rank: int
    first: int


@dataclass(frozen=True)
class RankedQueries:
    """What an explanation of a retrieval needs.

    Attributes:
        files: File of each readable image.
        caption_ranks, image_ranks: Ranks of the best match of each query.
        worst_captions, worst_images: Queries with the worst ranks, the worst first.
        num_captions, num_images: Numbers of queries, also of those without a rank, which count as failed.
    """

    files: Sequence[str]
    caption_ranks: Tensor
    image_ranks: Tensor
    worst_captions: Sequence[WorstQuery]
    worst_images: Sequence[WorstQuery]
    num_captions: int
    num_images: int


def find_worst(queries: Tensor, candidates: Tensor, ranks: Tensor, indices: Sequence[int]) -> list[WorstQuery]:
    """Return the queries with the worst ranks, without those whose match is first.

    Args:
        queries: Features [Q, D].
        candidates: Features [N, D].
        ranks: Ranks of the best matches [Q].
        indices: Index of each query in the dataset.
    """
    order = torch.argsort(ranks, descending=True, stable=True)[:NUM_WORST]
    order = order[ranks[order] > 0]
    first = (queries[order.to(queries.device)] @ candidates.T).argmax(1)
    return [
        WorstQuery(indices[query], int(ranks[query]), candidate)
        for query, candidate in zip(order.tolist(), first.tolist(), strict=True)
    ]
