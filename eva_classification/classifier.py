"""The image classifier: the backbone, one feature per image, a head."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError, check_choice
from eva_backbone.initialization import scale_branch_outputs
from eva_backbone.layer_norm import LayerNorm

from .heads import HeadKind, build_head
from .losses import check_labels, classification_loss

Pooling = Literal["mean", "class"]


class Classifier(VisionTransformer):
    """A backbone whose parameter names are those of the published classifiers, with `fc_norm` or `norm` and `head`.

    Published recipes of fine-tuning never train the patch embedding: freeze `patch_embed.*` to follow them.

    Args:
        num_classes: outputs of the head, K.
        pooling: "mean" normalises the mean patch token (`fc_norm`; the class token takes part in attention only),
            "class" takes the class token behind the final norm (`norm`).
        head: see `build_head`; "probe" expects everything else to be frozen.
        smoothing: label smoothing of the training loss, 0 to 1.
        backbone: arguments of `VisionTransformer`.

    Raises:
        InputError: another pooling, head or smoothing than these.
    """

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
            raise InputError(f"smoothing={smoothing} is no share of the target; give 0 to 1.")
        super().__init__(final_norm=pooling == "class", **backbone)
        self.num_classes = num_classes
        self.pooling = pooling
        self.smoothing = smoothing
        self.fc_norm = LayerNorm(self.embed_dim) if pooling == "mean" else nn.Identity()
        self.head = build_head(head, self.embed_dim, num_classes)
        scale_branch_outputs(self)

    def forward_tokens(self, pixels: Tensor) -> Tensor:
        """That of the backbone; pixels may be of any floating type and on any device."""
        return super().forward_tokens(pixels.to(self.patch_embed.proj.weight, non_blocking=True))

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] to what the head sees, [B, C]."""
        tokens = self.forward_tokens(pixels)
        return self.fc_norm(tokens[:, 1:].mean(1)) if self.pooling == "mean" else tokens[:, 0]

    def forward_patch_features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels to the normalised features of the patches, [B, N, C]; a linear head may be run on them."""
        return self.fc_norm(self.forward_tokens(pixels)[:, 1:])

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Logits [B, K], or in training the losses.

        Args:
            batch: normalised pixels [B, 3, H, W], for logits; or {"image": pixels, "label": class numbers [B] or mixed
                targets [B, K]}, for the losses in training and logits in evaluation, where no label is needed. Tensors
                may be on any device.

        Raises:
            InputError: labels of another number of classes, as far as they are on the CPU.
        """
        if isinstance(batch, Tensor):
            return self.head(self.forward_features(batch))
        labels = batch["label"] if self.training else None
        if labels is not None and labels.device.type == "cpu":
            check_labels(labels, self.num_classes)
        logits = self.head(self.forward_features(batch["image"]))
        if labels is None:
            return logits
        return {"loss_cls": classification_loss(logits, labels.to(logits.device, non_blocking=True), self.smoothing)}
