"""EVA-CLIP's encode_image and encode_text against open_clip's, the same weights, float32 on CPU.

Images: four blocks of the full width with head. Texts: the full tower, with texts as long as the context, and with
captions of 12 to 20 tokens.

    python -m benchmarks.clip_encode [--rounds 3]
"""

import argparse
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from .harness.side_by_side import compare

DEPTH, NUM_IMAGES, NUM_TEXTS = 4, 8, 32
CONTEXT, END = 77, 49407


def _ours() -> Any:
    from eva_clip import build_model

    torch.manual_seed(0)
    return build_model("eva_clip_g14", visual={"depth": DEPTH}).eval()


def _theirs() -> Any:
    import open_clip
    import timm

    from eva_clip.open_clip_weights import to_open_clip

    config, original = open_clip.get_model_config("EVA01-g-14"), timm.create_model

    def create_trunk(*args: Any, **options: Any) -> torch.nn.Module:
        return original(*args, **options, depth=DEPTH)

    with mock.patch.object(open_clip.timm_model.timm, "create_model", create_trunk):
        model = open_clip.model.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    model.load_state_dict(to_open_clip(_ours().state_dict()))
    return model.eval()


def _images(build: Callable[[], Any]) -> Callable[[], object]:
    torch.set_num_threads(2)
    model, pixels = build(), torch.randn(NUM_IMAGES, 3, 224, 224)

    @torch.inference_mode()
    def encode() -> torch.Tensor:
        return model.encode_image(pixels)

    return encode


def _texts(build: Callable[[], Any], shortest: int, longest: int) -> Callable[[], object]:
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, END - 1, (NUM_TEXTS, CONTEXT), generator=generator)
    ends = torch.randint(shortest - 1, longest, (NUM_TEXTS, 1), generator=generator)
    ids = ids.scatter(1, ends, END).masked_fill(torch.arange(CONTEXT) > ends, 0)
    model = build()

    @torch.inference_mode()
    def encode() -> torch.Tensor:
        return model.encode_text(ids)

    return encode


def open_clip_images() -> Callable[[], object]:
    return _images(_theirs)


def our_images() -> Callable[[], object]:
    return _images(_ours)


def open_clip_long_texts() -> Callable[[], object]:
    return _texts(_theirs, CONTEXT, CONTEXT)


def our_long_texts() -> Callable[[], object]:
    return _texts(_ours, CONTEXT, CONTEXT)


def open_clip_captions() -> Callable[[], object]:
    return _texts(_theirs, 12, 20)


def our_captions() -> Callable[[], object]:
    return _texts(_ours, 12, 20)


PARTS = {
    f"encode_image, {NUM_IMAGES} images": "images",
    f"encode_text, {NUM_TEXTS} texts of {CONTEXT} tokens": "long_texts",
    f"encode_text, {NUM_TEXTS} captions": "captions",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for title, part in PARTS.items():
        compare(
            "benchmarks.clip_encode",
            title,
            f"open_clip_{part}",
            f"our_{part}",
            args.rounds,
            calls=4,
            against="open_clip",
            quantities=("time", "processor time"),  # memory differs only by the behaviour of the allocator
        )


if __name__ == "__main__":
    main()
