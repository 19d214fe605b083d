"""Divide a dataset into training and validation samples such that both have all classes in the same proportions."""

import random
from collections.abc import Collection, Hashable, Sequence

from eva_backbone.errors import InputError


def stratified_split(labels: Sequence[Collection[Hashable]], share: float, seed: int = 0) -> list[int]:
    """Choose validation samples by iterative stratification: the rarest class is distributed first.

    Source: Sechidis et al., On the Stratification of Multi-Label Data, 2011.

    Args:
        labels: Classes of each sample: one, several, or none, which counts as a class of its own.
        share: Fraction of the samples to choose, between 0 and 1.
        seed: Seed of the order in which samples are considered. Equal arguments give equal results.

    Returns:
        Indices of the validation samples, ascending; at least one and not all of them.

    Raises:
        InputError: There are fewer than two samples.
    """
    if len(labels) < 2:
        raise InputError(f"a validation part cannot be taken from {len(labels)} sample(s); give at least two.")
    order = list(range(len(labels)))
    random.Random(seed).shuffle(order)
    waiting: dict[Hashable, dict[int, None]] = {}
    for index in order:
        for label in labels[index] or (None,):
            waiting.setdefault(label, {})[index] = None
    # How many samples of each class, and of any, the two parts should still get.
    wanted = {}
    for label, indices in waiting.items():
        wanted[label] = {True: share * len(indices), False: (1 - share) * len(indices)}
    in_total = {True: share * len(labels), False: (1 - share) * len(labels)}
    chosen = []
    while waiting:
        rarest = min(waiting, key=lambda label: (len(waiting[label]), str(label)))
        for index in list(waiting.pop(rarest)):
            for_validation = max((True, False), key=lambda part: (wanted[rarest][part], in_total[part]))
            if for_validation:
                chosen.append(index)
            in_total[for_validation] -= 1
            for label in labels[index] or (None,):
                wanted[label][for_validation] -= 1
                if label in waiting:
                    waiting[label].pop(index, None)
        waiting = {label: indices for label, indices in waiting.items() if indices}
    if not chosen:
        chosen = [order[0]]
    return sorted(chosen) if len(chosen) < len(labels) else sorted(chosen[:-1])
