"""Memory and time of a training step of a ViT-B backbone in float32 on CPU, with techniques that save memory.

The backbone has windows of 14 and four global blocks as in ViTDet, at 512 px. Activation checkpointing (none, torch's,
fairscale's) is measured by forward and backward with gradients already allocated, so the memory is that of activations.
Freezing and low-rank adapters (all parameters trained, the first nine of twelve blocks frozen, adapters of rank 8, the
latter with activation checkpointing) are measured by a first step with AdamW, so the memory is that of activations,
gradients and optimizer state.

    python -m benchmarks.activation_checkpointing [--rounds 3] [--size 512] [--only torch]
"""

import argparse
import os
from collections.abc import Callable, Sequence

import torch

from .harness.side_by_side import compare

SIZE = int(os.environ.get("EVA_BENCHMARK_SIZE", "512"))  # pixels; passed on to the measured processes
FRONT = ("net.pos_embed", "net.patch_embed.*", "net.blocks.[0-8].*")


def _step(
    checkpointing: str = "", *, optimize: bool, freeze: Sequence[str] = (), rank: int = 0
) -> Callable[[], object]:
    from detectron2_ext.modeling.vit import ViT
    from eva_engine.config import TRAIN_SETTINGS
    from eva_engine.training.adaptation import adapt_model

    torch.manual_seed(0)
    torch.set_num_threads(2)
    net = ViT(img_size=SIZE, use_rel_pos=True, window_size=14, window_block_indexes=[0, 1, 3, 4, 6, 7, 9, 10])
    model = torch.nn.ModuleDict({"net": net})
    lora = TRAIN_SETTINGS["lora"] | {"rank": rank}
    adapt_model(model, {"activation_checkpointing": checkpointing, "freeze": freeze, "lora": lora})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained) if optimize else None
    if not optimize:
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
    pixels = torch.randn(1, 3, SIZE, SIZE)

    def step() -> None:
        net.train()(pixels)["last_feat"].square().mean().backward()
        if optimizer is not None:
            optimizer.step()

    return step


def kept() -> Callable[[], object]:
    return _step(optimize=False)


def torch_checkpoint() -> Callable[[], object]:
    return _step("torch", optimize=False)


def fairscale() -> Callable[[], object]:
    return _step("fairscale", optimize=False)


def all_trained() -> Callable[[], object]:
    return _step(optimize=True)


def frozen_front() -> Callable[[], object]:
    return _step(optimize=True, freeze=FRONT)


def lora() -> Callable[[], object]:
    return _step(optimize=True, rank=8)


def lora_checkpoint() -> Callable[[], object]:
    return _step("torch", optimize=True, rank=8)


KEPT, TRAINED = "everything kept", "everything trained"
PAIRS = {  # title of the case, title of its peer, and the functions of the peer and of ours
    "torch": ("torch's checkpointing", KEPT, "kept", "torch_checkpoint"),
    "fairscale": ("fairscale's checkpointing", KEPT, "kept", "fairscale"),
    "frozen": ("nine of twelve blocks frozen", TRAINED, "all_trained", "frozen_front"),
    "lora": ("adapters of rank 8", TRAINED, "all_trained", "lora"),
    "lora_checkpoint": ("adapters and checkpointing", TRAINED, "all_trained", "lora_checkpoint"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512, help="image side in pixels")
    parser.add_argument("--only", choices=list(PAIRS))
    args = parser.parse_args()
    os.environ["EVA_BENCHMARK_SIZE"] = str(args.size)
    for part in [args.only] if args.only else PAIRS:
        title, against, peer, ours = PAIRS[part]
        title = f"{title}, {args.size} px"
        compare("benchmarks.activation_checkpointing", title, peer, ours, args.rounds, against=against)


if __name__ == "__main__":
    main()
