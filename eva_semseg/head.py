"""Mask2Former's head: predicts a class and a mask for every query from the maps of the backbone."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.block import run_layer
from eva_backbone.errors import check_num_classes

from .pixel_decoder import LEVELS, PixelDecoder, sine_positions
from .transformer_decoder import TransformerDecoder, cross_attention_mask

# class logits [B, Q, K + 1], of which the last is "no object", and mask logits [B, Q, H, W]
Prediction = tuple[Tensor, Tensor]


@dataclass
class _Level:
    """Keys and values of the image for the decoder layers that attend to one level."""

    grid: tuple[int, int]
    key: Tensor  # [B, N, C]
    value: Tensor  # [B, N, C]


class Mask2FormerHead(nn.Module):
    """Pixel decoder, transformer decoder, and the prediction layers that all decoder layers share.

    Args:
        num_classes: Number of classes, K.
        in_channels: Channels of the backbone's maps.
        dim: Width of both decoders.
        num_queries: Number of masks that are predicted, Q.
        num_heads: Heads of every attention.
        hidden: Width of the feed-forward layers.
        encoder_layers: Layers of the pixel decoder.
        decoder_layers: Layers of the transformer decoder; there is one more prediction than layers.
        num_points: Sampling points of the deformable attention per level and head.
        num_groups: Groups of the group normalisation; divides `dim`.
    """

    float32_parts = ("cls_embed",)

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

    def reset_classifier(self, num_classes: int) -> None:
        """Replace `cls_embed` with a new layer for `num_classes` classes."""
        check_num_classes(num_classes)
        self.num_classes = num_classes
        new = nn.Linear(self.cls_embed.in_features, num_classes + 1)
        self.cls_embed = new.to(self.cls_embed.weight)  # same device and dtype

    def forward(self, features: Mapping[str, Tensor], *, use_checkpoint: bool = False) -> list[Prediction]:
        """Return the predictions of the initial queries and after every layer, with masks at stride 4.

        Args:
            features: Maps "res2" to "res5" [B, in_channels, H, W] at strides 4 to 32.
            use_checkpoint: Keep only the inputs of the layers for the backward pass.
        """
        mask_features, levels, x = self._start(features, use_checkpoint)
        predictions = [self._predict(x, mask_features)]
        for i, layer in enumerate(self.transformer_decoder.layers):
            level = levels[i % len(levels)]
            mask = cross_attention_mask(predictions[-1][1], level.grid)
            x = run_layer(
                layer, x, self.query_embed.weight[None], level.key, level.value, mask, use_checkpoint=use_checkpoint
            )
            predictions.append(self._predict(x, mask_features))
        return predictions

    def predict(self, features: Mapping[str, Tensor]) -> Prediction:
        """Return the last prediction only, with less computation than `forward`.

        The attention masks of the layers need the masks of earlier predictions, but only at the size of a level. They
        are computed from mask features that were resized to this size: resizing and the product with a query are both
        linear, so they can be exchanged.
        """
        mask_features, levels, x = self._start(features, False)
        resized_features = [
            F.interpolate(mask_features, size=level.grid, mode="bilinear", align_corners=False) for level in levels
        ]
        for i, layer in enumerate(self.transformer_decoder.layers):
            level = levels[i % len(levels)]
            mask_logits = self._masks(self._normalise(x), resized_features[i % len(levels)])
            mask = cross_attention_mask(mask_logits, level.grid)
            x = layer(x, self.query_embed.weight[None], level.key, level.value, mask)
        return self._predict(x, mask_features)

    def _start(self, features: Mapping[str, Tensor], use_checkpoint: bool) -> tuple[Tensor, list[_Level], Tensor]:
        """Return the mask features [B, C, H, W], the levels and the initial queries [B, Q, C]."""
        mask_features, memories = self.pixel_decoder(features, use_checkpoint=use_checkpoint)
        levels = []
        for memory, embed in zip(memories, self.level_embed.weight, strict=True):
            grid = tuple(memory.shape[2:])
            value = memory.flatten(2).transpose(1, 2) + embed
            levels.append(_Level(grid, value + sine_positions(grid, value.shape[-1], embed), value))
        queries = self.query_feat.weight.expand(mask_features.shape[0], -1, -1)
        return mask_features, levels, queries

    def _normalise(self, x: Tensor) -> Tensor:
        return self.transformer_decoder.post_norm(x)

    def _masks(self, normalised: Tensor, mask_features: Tensor) -> Tensor:
        return torch.einsum("bqc,bchw->bqhw", self.mask_embed(normalised), mask_features)

    def _predict(self, x: Tensor, mask_features: Tensor) -> Prediction:
        normalised = self._normalise(x)
        return self.cls_embed(normalised), self._masks(normalised, mask_features)
