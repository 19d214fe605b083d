"""timm's model interface for a model that contains a backbone, by delegation to the backbone."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .timm_interface import TimmInterface


class BackboneDelegate:
    """Mixin of models, which are modules, that forward timm's interface to the backbone inside them.

    Attributes:
        backbone_name: Name of the submodule that is the backbone, such as "backbone.net".
    """

    backbone_name = "backbone"
    get_submodule: Callable[[str], Any]  # that of nn.Module

    def _timm_backbone(self) -> TimmInterface:
        return self.get_submodule(self.backbone_name)

    @property
    def num_features(self) -> int:
        """Token width of the backbone."""
        return self._timm_backbone().num_features

    @property
    def depth(self) -> int:
        """Number of blocks of the backbone."""
        return self._timm_backbone().depth

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Turn activation checkpointing of the backbone's blocks on or off."""
        self._timm_backbone().set_grad_checkpointing(enable)

    def convert_state_dict(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Rename the entries of a weight file as the backbone does, see `TimmInterface.convert_state_dict`."""
        convert = getattr(self._timm_backbone(), "convert_state_dict", None)  # a ViT of timm has the names of its files
        return weights if convert is None else convert(weights)

    def no_weight_decay(self) -> set[str]:
        """Return names of backbone parameters to exclude from weight decay in addition to vectors and biases."""
        names = self._timm_backbone().no_weight_decay()
        return {f"{self.backbone_name}.{name}" for name in names}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the backbone's regular expressions that assign parameters to layers, for this model's names."""
        matcher = self._timm_backbone().group_matcher(coarse)
        return {group: self._add_prefix(pattern) for group, pattern in matcher.items()}

    def forward_intermediates(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return features of selected backbone blocks, see `VisionTransformer.forward_intermediates`."""
        return self._timm_backbone().forward_intermediates(x, *args, **kwargs)

    def _add_prefix(self, pattern: Any) -> Any:
        """Add the backbone's name to a pattern of timm: an expression, or a list of (expression, layer number)."""
        if isinstance(pattern, str):
            prefix = self.backbone_name.replace(".", r"\.")
            return rf"^{prefix}\.(?:{pattern.removeprefix('^')})"
        return [(self._add_prefix(expression), layer) for expression, layer in pattern]
