"""timm's interface of a backbone, on a model that contains one."""

from typing import Any

from torch import nn


class BackboneDelegate(nn.Module):
    """A model that answers for the backbone inside it, by timm's method names.

    Attributes:
        backbone_name: name of the submodule that is the backbone, such as "backbone.net".
    """

    backbone_name = "backbone"

    @property
    def num_features(self) -> int:
        """Width of the backbone's tokens."""
        return self.get_submodule(self.backbone_name).num_features

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of the backbone's blocks for the backward pass, and recompute the rest there."""
        self.get_submodule(self.backbone_name).set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """Names of the backbone's parameters, besides vectors and biases, that recipes exclude from weight decay."""
        names = self.get_submodule(self.backbone_name).no_weight_decay()
        return {f"{self.backbone_name}.{name}" for name in names}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The backbone's regular expressions that assign parameters to layers, for the names in this model."""
        matcher = self.get_submodule(self.backbone_name).group_matcher(coarse)
        return {group: self._add_prefix(pattern) for group, pattern in matcher.items()}

    def forward_intermediates(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Features after chosen blocks of the backbone, see `VisionTransformer.forward_intermediates`."""
        return self.get_submodule(self.backbone_name).forward_intermediates(x, *args, **kwargs)

    def _add_prefix(self, pattern: Any) -> Any:
        """A pattern of timm: a regular expression, or a list of (expression, number of a layer)."""
        if isinstance(pattern, str):
            prefix = self.backbone_name.replace(".", r"\.")
            return rf"^{prefix}\.(?:{pattern.removeprefix('^')})"
        return [(self._add_prefix(expression), layer) for expression, layer in pattern]
