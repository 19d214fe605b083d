"""EVA-CLIP: an image tower and a text tower whose outputs lie in one space."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .contrastive_loss import contrastive_loss
from .image_tower import ImageTower
from .open_clip_weights import from_open_clip, is_open_clip
from .text_transformer import TextTransformer


class Clip(nn.Module):
    """Embeds images and texts so that the cosine of a pair says how well they fit.

    Parameter names are those of the published file, where the scale of the logits belongs to the text tower.

    Args:
        visual: the image tower.
        text: the text tower, of the same `output_dim`.
        max_logit_scale: larger scales count as this one in the loss. None, as in the reference: no limit; CLIP's own
            training has 100.
    """

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

    def convert_state_dict(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """`weights` of a file of open_clip under the names of this model; called when a file is loaded."""
        return from_open_clip(weights) if is_open_clip(weights) else weights

    @property
    def logit_scale(self) -> Tensor:
        """What cosines are multiplied by: the exponential of the learned `text.logit_scale`, float32."""
        return self.text.logit_scale.float().exp()

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Normalised pixels [B, 3, H, W] to embeddings [B, D], of length 1 with `normalize`.

        Pixels may be of any floating type and on any device; those of the model are computed in.
        """
        return _finish(self.visual(pixels), normalize)

    def encode_text(self, token_ids: Tensor, normalize: bool = False) -> Tensor:
        """Token ids [B, L] of `get_tokenizer`, on any device, to embeddings [B, D], of length 1 with `normalize`.

        Raises:
            InputError: ids of another shape, or of more than the context length.
        """
        return _finish(self.text(token_ids), normalize)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The contrastive loss of a batch of pairs, or in evaluation the features.

        Args:
            batch: {"image": [B, 3, H, W], "text": [B, L] int64}; in evaluation one of them is enough.

        Returns:
            {"loss_contrastive": scalar} in training; in evaluation {"image_features", "text_features"}, each [B, D] of
            length 1, for what was given.

        Raises:
            InputError: what is needed is not in the batch.
        """
        given = {name: batch[name] for name in ("image", "text") if batch.get(name) is not None}
        if not given or (self.training and len(given) < 2):
            needed = '"image" and "text"' if self.training else '"image" or "text"'
            raise InputError(f"a batch has the entries {', '.join(batch) or '(none)'}; {needed} are needed.")
        features = {}
        if "image" in given:
            features["image_features"] = self.encode_image(given["image"], normalize=True)
        if "text" in given:
            features["text_features"] = self.encode_text(given["text"], normalize=True)
        if not self.training:
            return features
        pairs = features["image_features"], features["text_features"]
        return {"loss_contrastive": contrastive_loss(*pairs, self.logit_scale, max_logit_scale=self.max_logit_scale)}


def _finish(embeddings: Tensor, normalize: bool) -> Tensor:
    if not normalize:
        return embeddings
    with torch.autocast(embeddings.device.type, enabled=False):
        return F.normalize(embeddings.float(), dim=-1).to(embeddings.dtype)
