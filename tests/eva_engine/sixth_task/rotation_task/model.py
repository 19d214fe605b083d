"""The model: a backbone and a linear layer."""

from torch import Tensor, nn

from eva_backbone import VisionTransformer


class RotationModel(VisionTransformer):
    """Classify images by their rotation."""

    def __init__(self, **backbone) -> None:
        super().__init__(**backbone)
        self.head = nn.Linear(self.embed_dim, 4)

    def forward(self, batch) -> Tensor | dict[str, Tensor]:
        logits = self.head(self.forward_tokens(batch["image"]).mean(1))
        return {"loss_rotation": nn.functional.cross_entropy(logits, batch["label"])} if self.training else logits
