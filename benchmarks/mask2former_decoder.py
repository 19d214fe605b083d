"""Mask2Former's transformer decoder on one image, forward and backward: transformers', and ours.

    python -m benchmarks.mask2former_decoder --rounds 3 --size 896

Published sizes: width 1024, 32 heads, 200 queries, 8 layers. Both start from the same maps of the pixel decoder and
give the same predictions (tests/eva_semseg/test_transformers_mask2former.py). Memory is measured in addition to
weights, maps and their gradients: it is the memory of activations and temporary tensors.
"""

import argparse
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerTransformerModule

from eva_semseg.head import Mask2FormerHead

from .harness.side_by_side import compare

WIDTH, QUERIES, LAYERS, HEADS, HIDDEN = 1024, 200, 8, 32, 4096
SIZE = "EVA_BENCHMARK_SIZE"


class _GivenMaps(nn.Module):
    """Stand-in for the pixel decoder that returns its input."""

    def forward(self, maps: tuple[Tensor, list[Tensor]], *, use_checkpoint: bool) -> tuple[Tensor, list[Tensor]]:
        del use_checkpoint
        return maps


def _maps() -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(0)
    side = int(os.environ[SIZE])
    mask_features, *memories = (
        torch.randn(1, WIDTH, side // stride, side // stride).requires_grad_() for stride in (4, 32, 16, 8)
    )
    return mask_features, memories


def _with_gradients(decoder: nn.Module, maps: tuple[Tensor, list[Tensor]]) -> None:
    for value in (*decoder.parameters(), maps[0], *maps[1]):
        value.grad = torch.ones_like(value)  # written to, so that the memory is resident


def _backward(predictions: list[Tensor]) -> None:
    torch.stack([prediction.sum() for prediction in predictions]).sum().backward()


def transformers() -> Callable[[], object]:
    """transformers' decoder: attention returns its weights, with one mask per head."""
    config = Mask2FormerConfig(
        hidden_dim=WIDTH,
        mask_feature_size=WIDTH,
        dim_feedforward=HIDDEN,
        decoder_layers=LAYERS + 1,
        num_attention_heads=HEADS,
        num_queries=QUERIES,
        dropout=0.0,
    )
    decoder, maps = Mask2FormerTransformerModule(WIDTH, config), _maps()
    _with_gradients(decoder, maps)
    classifier = nn.Linear(WIDTH, 172)

    def run() -> None:
        out = decoder(maps[1], maps[0])
        classes = [classifier(x.transpose(0, 1)) for x in out.intermediate_hidden_states]
        _backward([*classes, *out.masks_queries_logits])

    return run


def ours() -> Callable[[], object]:
    """Our decoder: fused attention, with one mask for all heads."""
    head, maps = Mask2FormerHead(171, 8, encoder_layers=0, decoder_layers=LAYERS), _maps()
    head.pixel_decoder = _GivenMaps()  # type: ignore[assignment]
    _with_gradients(head, maps)
    return lambda: _backward([value for prediction in head(maps) for value in prediction])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, nargs="+", default=[448, 896])
    args = parser.parse_args()
    for size in args.size:
        os.environ[SIZE] = str(size)
        title = f"forward and backward, {size} px"
        compare("benchmarks.mask2former_decoder", title, "transformers", "ours", args.rounds, against="transformers")


if __name__ == "__main__":
    main()
