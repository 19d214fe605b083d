"""How a teacher gets its weights: all of them, in float32, never trained."""

from collections.abc import Mapping

from torch import Tensor, nn


def freeze_with(tower: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """Assign `weights` to `tower`, which may be on the meta device, and freeze it in evaluation mode.

    Returns:
        None; or, with nothing assigned, the name of an entry that is missing, unknown or of another shape.
    """
    expected = tower.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    if wrong:
        return wrong[0]
    tower.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    tower.eval().requires_grad_(False)
    return None
