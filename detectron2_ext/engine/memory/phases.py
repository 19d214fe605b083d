"""The parts of a training step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """What a part of a step holds beyond weights, gradients of earlier parts and optimizer.

    Attributes:
        name: in words.
        is_backward: part of the backward pass.
        peak: the most bytes, without gradients of weights beyond the one in the making.
        peak_with_gradients: the same if every gradient stays once it is made.
    """

    name: str
    is_backward: bool
    peak: int
    peak_with_gradients: int
