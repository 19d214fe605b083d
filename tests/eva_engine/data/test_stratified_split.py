"""Validation parts with the classes in the same proportions."""

from collections import Counter

import pytest

from eva_backbone.errors import InputError
from eva_engine.data.stratified_split import stratified_split


def test_classes_keep_their_proportions():
    labels = [("common",)] * 800 + [("rare",)] * 20 + [("common", "rare")] * 80 + [()] * 100
    chosen = stratified_split(labels, 0.1)
    assert len(chosen) == pytest.approx(100, abs=2)
    counts = Counter(label for index in chosen for label in labels[index] or ("none",))
    assert counts["rare"] == pytest.approx(10, abs=1)
    assert counts["common"] == pytest.approx(88, abs=2)
    assert counts["none"] == 10
    assert chosen == stratified_split(labels, 0.1)  # of the seed
    assert chosen != stratified_split(labels, 0.1, seed=1)
    assert chosen == sorted(set(chosen))


def test_both_parts_get_a_sample():
    assert len(stratified_split([("a",)] * 3, 0.01)) == 1
    assert len(stratified_split([("a",)] * 3, 0.99)) == 2
    with pytest.raises(InputError, match="cannot be taken from 1 sample"):
        stratified_split([("a",)], 0.5)
