"""Initial weights of a fresh backbone."""

from torch import nn


def init_weights(model: nn.Module, std: float = 0.02) -> None:
    """Truncated normal weights for linear layers, position tables and tokens; zero linear biases.

    Convolutions, normalisations and relative position tables keep what their own constructors gave them.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name in ("pos_embed", "cls_token"):
        parameter = getattr(model, name, None)
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=std)
