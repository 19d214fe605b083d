"""The image classifier: the backbone, one feature vector per image, a head."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError, check_choice, check_num_classes
from eva_backbone.initialization import scale_branch_outputs
from eva_backbone.layer_norm import LayerNorm

from .heads import HeadKind, build_head
from .losses import check_labels, classification_loss

Pooling = Literal["mean", "class"]


class Classifier(VisionTransformer):
    """A backbone with `fc_norm` or `norm`, and `head`, whose parameters are named as in the published classifiers.

    Published recipes of fine-tuning do not train the patch embedding: freeze `patch_embed.*` to follow them. Methods
    have timm's names, so the model can be used for features as well: `num_classes=0` returns them from `forward`.

    Args:
        num_classes: Outputs of the head, K; 0 leaves the head out.
        pooling: "mean" normalises the mean of the patch tokens (`fc_norm`; the class token takes part in attention
            only), "class" takes the class token after the final norm (`norm`).
        head: See `build_head`; "probe" expects everything else to be frozen.
        smoothing: Label smoothing of the training loss, 0 to 1.
        backbone: Arguments of `VisionTransformer`.

    Raises:
        InputError: An unknown pooling or head, a smoothing out of range, or pooling="class" without a class token.
    """

    float32_parts = ("head",)

    def __init__(
        self,
        num_classes: int,
        *,
        pooling: Pooling = "mean",
        head: HeadKind = "linear",
        smoothing: float = 0.0,
        **backbone: Any,
    ) -> None:
        check_choice("pooling", pooling, get_args(Pooling))
        if not 0 <= smoothing <= 1:
            raise InputError(f"smoothing={smoothing} is out of range; give a number from 0 to 1.")
        super().__init__(final_norm=pooling == "class", **backbone)
        if pooling == "class" and self.cls_token is None:
            raise InputError("pooling='class' needs a class token; choose pooling='mean' or class_token=True.")
        self.pooling = pooling
        self.head_kind = head
        self.smoothing = smoothing
        self.fc_norm = LayerNorm(self.embed_dim) if pooling == "mean" else nn.Identity()
        self.reset_classifier(num_classes)
        scale_branch_outputs(self)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the head with a new one for `num_classes` classes; with 0, `forward` then returns features."""
        check_num_classes(num_classes, minimum=0)
        head: nn.Module = nn.Identity()
        if num_classes:
            head = build_head(self.head_kind, self.embed_dim, num_classes).to(self.patch_embed.proj.weight)
        self.num_classes = num_classes
        self.head = head

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def forward_tokens(self, pixels: Tensor) -> Tensor:
        """Run the backbone on pixels of any floating-point type and on any device."""
        return super().forward_tokens(pixels.to(self.patch_embed.proj.weight, non_blocking=True))

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Compute the tokens [B, prefix + N, C] of normalised pixels [B, 3, H, W], before pooling."""
        return self.forward_tokens(pixels)

    def forward_head(self, tokens: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool tokens [B, prefix + N, C] to features [B, C], and with `pre_logits` return those, else logits [B, K]."""
        features = self._pool(tokens)
        return features if pre_logits else self.head(features)

    def _pool(self, tokens: Tensor) -> Tensor:
        if self.pooling == "mean":
            return self.fc_norm(tokens[:, self.num_prefix_tokens :].mean(1))
        return tokens[:, 0]

    def forward_patch_features(self, pixels: Tensor) -> Tensor:
        """Compute normalised patch features [B, N, C] of normalised pixels; a linear head can be applied to them."""
        return self.fc_norm(self.forward_tokens(pixels)[:, self.num_prefix_tokens :])

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Return logits [B, K], or the losses in training.

        Args:
            batch: Normalised pixels [B, 3, H, W], for logits; or {"image": pixels, "label": class numbers [B] or mixed
                targets [B, K]}, for the losses in training and for logits in evaluation, where no label is needed.
                Tensors may be on any device.

        Raises:
            InputError: Labels beyond the number of classes, if they are on the CPU.
        """
        if isinstance(batch, Tensor):
            return self.forward_head(self.forward_features(batch))
        labels = batch["label"] if self.training else None
        if labels is not None and labels.device.type == "cpu":
            check_labels(labels, self.num_classes)
        logits = self.forward_head(self.forward_features(batch["image"]))
        if labels is None:
            return logits
        return {"loss_cls": classification_loss(logits, labels.to(logits.device, non_blocking=True), self.smoothing)}
