"""A tiny detector with the entry names of the published ones, and files in the published layouts."""

import torch
from torch import nn

WIDTH, DEPTH, HEAD_DIM = 8, 2, 4


class Attention(nn.Module):
    def __init__(self, side: int, rel_pos: bool, fused_bias: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=fused_bias)
        if not fused_bias:
            self.q_bias = nn.Parameter(torch.zeros(WIDTH))
            self.v_bias = nn.Parameter(torch.zeros(WIDTH))
        self.proj = nn.Linear(WIDTH, WIDTH)
        if rel_pos:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, HEAD_DIM))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, HEAD_DIM))


class TinyViT(nn.Module):
    """Names as published; `grid`: side of the position table, `side`: tokens the relative tables are for."""

    def __init__(self, patch: int = 16, grid: int = 14, side: int = 20, rel_pos: bool = True, fused_bias: bool = False):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, grid**2 + 1, WIDTH))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, patch, patch)
        self.blocks = nn.ModuleList(nn.Module() for _ in range(DEPTH))
        for block in self.blocks:
            block.norm1 = nn.LayerNorm(WIDTH)
            block.attn = Attention(side, rel_pos, fused_bias)


class TinyDetector(nn.Module):
    """`backbone.net`, a pyramid layer, and class heads for `num_classes`."""

    def __init__(self, num_classes: int = 80, mask_head: bool = True, **vit):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.net = TinyViT(**vit)
        self.backbone.simfp_4 = nn.Conv2d(WIDTH, 4, 1)
        self.roi_heads = nn.Module()
        self.roi_heads.cls_score = nn.Linear(4, num_classes + 1)
        if mask_head:
            self.roi_heads.mask = nn.Conv2d(4, num_classes, 1)


def random_state(model: nn.Module, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(value.shape, generator=generator) for name, value in model.state_dict().items()}


def pretraining_state(patch: int = 16, grid: int = 14) -> dict[str, torch.Tensor]:
    """A bare ViT as the masked pre-training saves it: no relative tables, extra entries the detector does not have."""
    state = random_state(TinyViT(patch=patch, grid=grid, rel_pos=False))
    extra = {"cls_token": (1, 1, WIDTH), "mask_token": (1, 1, WIDTH), "norm.weight": (WIDTH,), "lm_head.bias": (6,)}
    return state | {name: torch.ones(shape) for name, shape in extra.items()}
