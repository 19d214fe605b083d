"""Mask2Former's head: maps of the backbone in; a class and a mask of every query out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.block import run_layer

from .pixel_decoder import LEVELS, PixelDecoder
from .position_encoding import sine_positions
from .transformer_decoder import TransformerDecoder, attended_tokens

Prediction = tuple[Tensor, Tensor]  # class logits [B, Q, K + 1], the last "no object"; mask logits [B, Q, H, W]


@dataclass
class _Level:
    """What the layers that look at one level need of it."""

    grid: tuple[int, int]
    key: Tensor  # [B, N, C]
    value: Tensor  # [B, N, C]


class Mask2FormerHead(nn.Module):
    """Pixel decoder, transformer decoder and the predictors that all its layers share.

    Args:
        num_classes: K.
        in_channels: of the backbone's maps.
        dim: width of both decoders.
        num_queries: masks that are predicted, Q.
        num_heads: of every attention.
        hidden: width of the feed-forward layers.
        encoder_layers: of the pixel decoder.
        decoder_layers: of the transformer decoder; predictions are one more.
        num_points: that a head of the deformable attention samples on a level.
        num_groups: of the group normalisation; divides `dim`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        dim: int = 1024,
        num_queries: int = 200,
        num_heads: int = 32,
        hidden: int = 4096,
        encoder_layers: int = 6,
        decoder_layers: int = 8,
        num_points: int = 4,
        num_groups: int = 32,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pixel_decoder = PixelDecoder(
            in_channels,
            dim,
            num_heads=num_heads,
            num_points=num_points,
            num_layers=encoder_layers,
            hidden=hidden,
            num_groups=num_groups,
        )
        self.transformer_decoder = TransformerDecoder(
            dim, num_heads=num_heads, num_layers=decoder_layers, hidden=hidden
        )
        self.query_embed = nn.Embedding(num_queries, dim)
        self.query_feat = nn.Embedding(num_queries, dim)
        self.level_embed = nn.Embedding(len(LEVELS), dim)
        self.cls_embed = nn.Linear(dim, num_classes + 1)
        self.mask_embed = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )

    def forward(self, features: Mapping[str, Tensor], *, recompute: bool = False) -> list[Prediction]:
        """Predictions of the initial queries and behind every layer, masks at stride 4.

        Args:
            features: maps "res2" to "res5" [B, in_channels, H, W] of strides 4 to 32.
            recompute: keep only the inputs of the layers for the backward pass.
        """
        mask_features, levels, x = self._start(features, recompute)
        predictions = [self._predict(x, mask_features)]
        for i, layer in enumerate(self.transformer_decoder.layers):
            level = levels[i % len(levels)]
            allowed = attended_tokens(predictions[-1][1], level.grid)
            x = run_layer(layer, x, self.query_embed.weight[None], level.key, level.value, allowed, recompute=recompute)
            predictions.append(self._predict(x, mask_features))
        return predictions

    def predict(self, features: Mapping[str, Tensor]) -> Prediction:
        """The last prediction alone.

        Masks on the way to it are made at the size that the next layer looks at, from mask features of that size:
        resizing and the product with a query are both linear, so their order is free.
        """
        mask_features, levels, x = self._start(features, False)
        small = [
            F.interpolate(mask_features, size=level.grid, mode="bilinear", align_corners=False) for level in levels
        ]
        for i, layer in enumerate(self.transformer_decoder.layers):
            level = levels[i % len(levels)]
            allowed = attended_tokens(self._masks(self._normalise(x), small[i % len(levels)]), level.grid)
            x = layer(x, self.query_embed.weight[None], level.key, level.value, allowed)
        return self._predict(x, mask_features)

    def _start(self, features: Mapping[str, Tensor], recompute: bool) -> tuple[Tensor, list[_Level], Tensor]:
        mask_features, memories = self.pixel_decoder(features, recompute=recompute)
        levels = []
        for memory, embed in zip(memories, self.level_embed.weight, strict=True):
            grid = tuple(memory.shape[2:])
            value = memory.flatten(2).transpose(1, 2) + embed
            levels.append(_Level(grid, value + sine_positions(grid, value.shape[-1], embed), value))
        queries = self.query_feat.weight.expand(len(mask_features), -1, -1)
        return mask_features, levels, queries

    def _normalise(self, x: Tensor) -> Tensor:
        return self.transformer_decoder.post_norm(x)

    def _masks(self, normalised: Tensor, mask_features: Tensor) -> Tensor:
        return torch.einsum("bqc,bchw->bqhw", self.mask_embed(normalised), mask_features)

    def _predict(self, x: Tensor, mask_features: Tensor) -> Prediction:
        normalised = self._normalise(x)
        return self.cls_embed(normalised), self._masks(normalised, mask_features)
