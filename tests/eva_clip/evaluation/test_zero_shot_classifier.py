"""Zero-shot weights equal those of open_clip with the same model weights, for any batch size."""

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP

from eva_clip import create_clip_model, get_tokenizer
from eva_clip.evaluation import build_zero_shot_weights
from eva_clip.open_clip_weights import to_open_clip

NAMES = ["tench", "great white shark", "猫 🐈", "kite (bird of prey)", "d" * 120 + " dog", "hen", "x"]
TEMPLATES = ["a photo of a {}.", "{}", "the {} in a video game."]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    visual = {"img_size": 28, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_ratio": 4.0}
    text = {"width": 32, "num_heads": 2, "num_layers": 2, "context_length": 77}
    return create_clip_model("eva_clip_tiny", output_dim=24, visual=visual, text=text)


def with_open_clips_text_tower(model) -> torch.nn.Module:
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    vision = {"image_size": 28, "patch_size": 14, "width": 32, "layers": 1, "head_width": 16}
    other = CustomTextCLIP(24, vision, text)
    weights = {name: value for name, value in to_open_clip(model.state_dict()).items() if "visual" not in name}
    missing, unexpected = other.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("visual.") for name in missing)
    return other.eval()


def test_weights_are_open_clips(model):
    tokenizer = get_tokenizer("eva_clip_tiny", context_length=77)
    templates = [lambda name, t=template: t.format(name) for template in TEMPLATES]
    theirs = open_clip.build_zero_shot_classifier(
        with_open_clips_text_tower(model),
        open_clip.get_tokenizer("EVA01-g-14"),
        NAMES,
        templates,
        num_classes_per_batch=3,
    )
    ours = build_zero_shot_weights(model, tokenizer, NAMES, TEMPLATES, batch_size=4)
    torch.testing.assert_close(ours, theirs.T, atol=2e-6, rtol=0)


def test_any_batch_size_and_no_more_texts_at_once(model):
    sizes = []

    def tokenizer(texts):
        sizes.append(len(texts))
        return get_tokenizer("eva_clip_tiny", context_length=77)(texts)

    whole = build_zero_shot_weights(model, tokenizer, NAMES, TEMPLATES)
    for size in (1, 5):
        sizes.clear()
        parts = build_zero_shot_weights(model, tokenizer, NAMES, TEMPLATES, batch_size=size)
        assert max(sizes) == size
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)
    assert whole.shape == (7, 24)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(7))
    assert not whole.requires_grad
