"""Deformable attention and the pixel decoder built on it: ours against transformers' Mask2Former, float32 on the CPU.

First the attention operator in the shapes of the published models at 448 px (heads x width): the pixel decoder's (32 x
32 over three maps), the injector's (16 x 44 over three) and the extractor's (16 x 44 over one); then the pixel decoder
at the published width with one of its six layers. Memory is that of the tensors, in addition to inputs and weights: the
process grows by some MiB more or less, which is as much as the smaller cases take.

    python -m benchmarks.deformable_attention [--rounds 3] [--size 448]
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .harness.side_by_side import compare

CASE, TRAINING, SIZE = (f"EVA_BENCHMARK_{name}" for name in ("CASE", "TRAINING", "SIZE"))
POINTS = 4
LAYERS, WIDTH, CHANNELS = 1, 1024, 1408
REACH = 4.0  # standard deviation of the sampling offsets in pixels of the map
PARTS = ("pixel decoder's", "injector's", "extractor's")
Attend = Callable[[Tensor, Sequence[tuple[int, int]], Tensor, Tensor], Tensor]


def _timed(run: Callable[[], Tensor]) -> Callable[[], object]:
    if os.environ[TRAINING] == "1":
        return lambda: run().square().mean().backward()
    return torch.inference_mode()(run)


def _attention(attend: Attend) -> Callable[[], object]:
    from eva_semseg.deformable_attention import pixel_centres

    torch.set_num_threads(2)
    torch.manual_seed(0)
    part, size = os.environ[CASE], int(os.environ[SIZE])
    pyramid = [(size // stride, size // stride) for stride in (32, 16, 8)]
    keys = pyramid[1:2] if part == PARTS[2] else pyramid
    queries = pyramid[1:2] if part == PARTS[1] else pyramid
    heads, dim = (32, 32) if part == PARTS[0] else (16, 44)
    num_queries, num_tokens = (sum(height * width for height, width in maps) for maps in (queries, keys))
    sizes = torch.tensor([(width, height) for height, width in keys])[:, None]
    locations = pixel_centres(queries)[:, :, None, None] + REACH / sizes * torch.randn(
        1, num_queries, heads, len(keys), POINTS, 2
    )
    weights = torch.randn(1, num_queries, heads, len(keys) * POINTS).softmax(-1).view(locations.shape[:-1])
    inputs = [torch.randn(1, num_tokens, heads, dim), locations, weights]
    for tensor in inputs if os.environ[TRAINING] == "1" else ():
        tensor.requires_grad_().grad = torch.zeros_like(tensor)
    return _timed(lambda: attend(inputs[0], keys, *inputs[1:]))


def _decoder(build: Callable[[], Callable[[dict[str, Tensor]], Tensor]]) -> Callable[[], object]:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    side = int(os.environ[SIZE])
    shapes = {name: side // stride for name, stride in (("res2", 4), ("res3", 8), ("res4", 16), ("res5", 32))}
    features = {name: torch.randn(1, CHANNELS, length, length) for name, length in shapes.items()}
    decode = build()
    return _timed(lambda: decode(features))


def _with_gradients(module: Any) -> Any:
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return module


def _their_decoder() -> Callable[[dict[str, Tensor]], Tensor]:
    from transformers import Mask2FormerConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoder

    config = Mask2FormerConfig(
        feature_size=WIDTH,
        mask_feature_size=WIDTH,
        hidden_dim=WIDTH,
        encoder_feedforward_dim=4 * WIDTH,
        encoder_layers=LAYERS,
        num_attention_heads=32,
        dropout=0.0,
    )
    decoder = _with_gradients(Mask2FormerPixelDecoder(config, [CHANNELS] * 4))
    torch.nn.init.normal_(decoder.level_embed)  # its constructor leaves this uninitialised
    return lambda features: (
        decoder(list(features.values()), output_attentions=False, output_hidden_states=False).mask_features
    )


def _our_decoder() -> Callable[[dict[str, Tensor]], Tensor]:
    from eva_semseg.pixel_decoder import PixelDecoder

    decoder = _with_gradients(PixelDecoder(CHANNELS, WIDTH, num_layers=LAYERS))
    return lambda features: decoder(features)[0]


def transformers() -> Callable[[], object]:
    """transformers' operator, with all samples of all levels in one tensor."""
    if os.environ[CASE] not in PARTS:
        return _decoder(_their_decoder)
    from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

    return _attention(multi_scale_deformable_attention)  # type: ignore[arg-type]


def ours() -> Callable[[], object]:
    """Our operator: samples one level at a time, and again in the backward pass."""
    if os.environ[CASE] not in PARTS:
        return _decoder(_our_decoder)
    from eva_semseg.deformable_attention import deformable_attention

    return _attention(deformable_attention)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=448, help="side of the image in pixels, a multiple of 32")
    args = parser.parse_args()
    os.environ[SIZE] = str(args.size)
    for case in (*PARTS, "whole pixel decoder"):
        for training in (False, True):
            os.environ[CASE], os.environ[TRAINING] = case, str(int(training))
            title = f"{case} {'training step' if training else 'forward'}, {args.size} px"
            compare(
                "benchmarks.deformable_attention",
                title,
                "transformers",
                "ours",
                args.rounds,
                calls=5,
                against="transformers",
                quantities=("time", "processor time", "allocated memory"),
            )


if __name__ == "__main__":
    main()
