"""A detector's shape without a detector's cost: an EVA backbone of four blocks under its usual name, and a head."""

import torch
from torch import nn

from detectron2_ext.modeling.vit import ViT

DEPTH = 4
LORA = {"rank": 2, "alpha": 6.0, "dropout": 0.0, "targets": r".*\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"}
SETTINGS = {"freeze": [], "lora": {**LORA, "rank": 0}, "activation_checkpointing": ""}


class SmallDetector(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.net = ViT(
            **{
                "img_size": 32,
                "patch_size": 8,
                "embed_dim": 16,
                "depth": DEPTH,
                "num_heads": 2,
                "pretrain_img_size": 32,
                "use_rel_pos": True,
                "window_size": 2,
                "window_block_indexes": [0, 2],
                "beit_like_qkv_bias": True,
                **options,
            }
        )
        self.head = nn.Linear(16, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(std=0.2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone.net(pixels)["last_feat"].flatten(2).transpose(1, 2))


def pixels() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def gradients(model: nn.Module, seed: int = 3) -> dict[str, torch.Tensor]:
    """Gradients of one step that draws its random numbers from `seed`."""
    torch.manual_seed(seed)
    model.zero_grad()
    model.train()(pixels()).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def trained_names(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
