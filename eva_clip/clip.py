"""EVA-CLIP: an image tower and a text tower with a joint embedding space."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.backbone_delegate import BackboneDelegate
from eva_backbone.errors import InputError

from .contrastive_loss import contrastive_loss
from .image_tower import ImageTower
from .open_clip_weights import from_open_clip, is_open_clip
from .text_transformer import TextTransformer, build_logit_scale

LOGIT_SCALE = "logit_scale"


class Clip(BackboneDelegate, nn.Module):
    """Embed images and texts in one space, where the cosine similarity of a pair measures how well they match.

    Parameter names are those of the releases. In the first one, the logit scale belongs to the text tower; in all
    others and in open_clip, it is a parameter of the model.

    Args:
        visual: Image tower.
        text: Text tower of the same `output_dim`. If it has no logit scale, the model has one.
        max_logit_scale: Upper limit of the logit scale in the loss. None for no limit, as in the original release; the
            training of OpenAI's CLIP uses 100.
    """

    backbone_name = "visual"
    float32_parts = (LOGIT_SCALE,)

    def __init__(self, visual: ImageTower, text: TextTransformer, max_logit_scale: float | None = None) -> None:
        super().__init__()
        if visual.output_dim != text.output_dim:
            raise InputError(
                f"images are embedded in {visual.output_dim} dimensions, texts in {text.output_dim}: "
                "give both towers the same output_dim."
            )
        self.visual = visual
        self.text = text
        self.max_logit_scale = max_logit_scale
        if not hasattr(text, LOGIT_SCALE):
            self.register_parameter(LOGIT_SCALE, build_logit_scale())

    def convert_state_dict(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Rename the entries of an open_clip or timm state dict, and the logit scale, to the names of this model.

        The checkpoint reader calls this before it loads a file.

        Raises:
            InputError: The weights have a text tower of another width than this model. The image tower alone would be
                loaded, which may be that of several models.
        """
        weights = from_open_clip(weights) if is_open_clip(weights) else super().convert_state_dict(weights)
        self._check_text_tower(weights)
        own, other = f"text.{LOGIT_SCALE}", LOGIT_SCALE
        if LOGIT_SCALE in self._parameters:
            own, other = other, own
        if own in weights:
            return weights
        return {own if name == other else name: value for name, value in weights.items()}

    def _check_text_tower(self, weights: Mapping[str, Tensor]) -> None:
        table = weights.get("text.positional_embedding")
        width = self.text.positional_embedding.shape[1]
        if table is not None and table.ndim == 2 and table.shape[1] != width:
            raise InputError(
                f"the weights have a text tower of width {table.shape[1]}, this model has one of width {width}; give "
                "the weights of this model, or remove the entries text.* to start from the image tower alone."
            )

    @property
    def logit_scale(self) -> nn.Parameter:
        """The parameter `logit_scale`, or `text.logit_scale`: the logarithm of the factor from cosines to logits.

        As in open_clip, logits are `model.logit_scale.exp() * cosines`.
        """
        own = self._parameters.get(LOGIT_SCALE)
        return self.text.logit_scale if own is None else own

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Embed images.

        Args:
            pixels: Normalised pixels [B, 3, H, W] of any floating-point type on any device; they are converted to the
                type and the device of the model.
            normalize: Scale each embedding to unit length.

        Returns:
            Embeddings [B, D].
        """
        embeddings = self.visual(pixels)
        return _l2_normalize(embeddings) if normalize else embeddings

    def encode_text(self, token_ids: Tensor, normalize: bool = False) -> Tensor:
        """Embed texts.

        Args:
            token_ids: Token ids [B, L] from `get_tokenizer`, on any device.
            normalize: Scale each embedding to unit length.

        Returns:
            Embeddings [B, D].

        Raises:
            InputError: The ids have another shape or exceed the context length.
        """
        embeddings = self.text(token_ids)
        return _l2_normalize(embeddings) if normalize else embeddings

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the contrastive loss of a batch of pairs, or in evaluation mode the normalised features.

        Args:
            batch: {"image": [B, 3, H, W], "text": [B, L] int64}; in evaluation mode one of them is enough.

        Returns:
            In training mode {"loss_contrastive": scalar}. In evaluation mode "image_features" and "text_features", each
            [B, D] of unit length, for the inputs that the batch has.

        Raises:
            InputError: An input is missing from the batch.
        """
        inputs = {name: batch[name] for name in ("image", "text") if batch.get(name) is not None}
        if not inputs or (self.training and len(inputs) < 2):
            needed = '"image" and "text"' if self.training else '"image" or "text"'
            raise InputError(f"a batch has the entries {', '.join(batch) or '(none)'}; {needed} are needed.")
        features = {}
        if "image" in inputs:
            features["image_features"] = self.encode_image(inputs["image"], normalize=True)
        if "text" in inputs:
            features["text_features"] = self.encode_text(inputs["text"], normalize=True)
        if not self.training:
            return features
        loss = contrastive_loss(
            features["image_features"],
            features["text_features"],
            self.logit_scale.float().exp(),
            max_logit_scale=self.max_logit_scale,
        )
        return {"loss_contrastive": loss}


def _l2_normalize(embeddings: Tensor) -> Tensor:
    """Scale embeddings [B, D] to unit length; computed in float32, since squares can overflow in float16."""
    with torch.autocast(embeddings.device.type, enabled=False):
        return F.normalize(embeddings.float(), dim=-1).to(embeddings.dtype)
