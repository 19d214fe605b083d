"""Small states of a run, and helpers for tests of them."""

import torch


def state_of(number: int, size: int = 1000) -> dict:
    weights = {"a.weight": torch.full((size,), float(number)), "a.bias": torch.tensor([1.0, number])}
    moments = {"state": {"a.weight": {"exp_avg": torch.full((size,), -float(number))}}, "param_groups": [{"lr": 0.1}]}
    return {"iteration": number, "random": (3, [number]), "optimizer": moments, "model": weights, "empty": {}}


def assert_same(left, right) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert_same(value, right[key])
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    else:
        assert left == right


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_and_wait(checkpoints, *arguments) -> None:
    checkpoints.save(*arguments)
    checkpoints.wait()
