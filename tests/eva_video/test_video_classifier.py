"""The video classifier as a network, and as the trainer calls it."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from eva_backbone.errors import InputError
from eva_video import create_video_classifier

TINY = {
    "name": "eva_tiny_patch14_video",
    "num_classes": 5,
    "num_frames": 4,
    "img_size": 28,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
}


def random_positions(**options):
    """Initial positions are so small that their order would not show."""
    model = create_video_classifier(**{**TINY, **options})
    torch.nn.init.normal_(model.pos_embed)
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("pooling", ["mean", "class"])
@pytest.mark.parametrize("tubelet_size", [1, 2])
def test_batches(pooling, tubelet_size):
    model = create_video_classifier(**TINY, pooling=pooling, tubelet_size=tubelet_size, smoothing=0.1).train()
    assert model.pos_embed.shape == (1, 1 + 4 // tubelet_size * 4, 32)
    clips, labels = torch.randn(3, 3, 4, 28, 28), torch.tensor([0, 4, 2])
    losses = model({"video": clips, "label": labels, "index": labels})
    assert losses.keys() == {"loss_cls"}
    torch.testing.assert_close(losses["loss_cls"], F.cross_entropy(model(clips), labels, label_smoothing=0.1))
    mixed = torch.rand(3, 5).softmax(-1)
    torch.testing.assert_close(
        model({"video": clips, "label": mixed})["loss_cls"], -(mixed * model(clips).log_softmax(-1)).sum(-1).mean()
    )
    model.eval()
    logits = model({"video": clips})
    assert logits.shape == (3, 5)
    assert torch.equal(logits, model(clips))


def test_attention_joins_all_frames():
    """A pixel of the last frame reaches the features of the first one, within a block and back."""
    model = random_positions(depth=1)
    clips = torch.randn(1, 3, 4, 28, 28)
    changed = clips.clone()
    changed[:, :, 3] += 1
    first = slice(0, 4)
    difference = model.forward_patch_features(changed)[:, first] - model.forward_patch_features(clips)[:, first]
    assert difference.abs().max() > 1e-3


def test_without_a_class_token_all_tubelets_are_averaged():
    model = random_positions(class_token=False)
    clips = torch.randn(2, 3, 4, 28, 28)
    model.fc_norm = torch.nn.Identity()
    tokens = model.forward_features(clips)
    assert tokens.shape == (2, 16, 32)
    torch.testing.assert_close(model.forward_head(tokens, pre_logits=True), tokens.mean(1))
    with pytest.raises(InputError, match="pooling='class' needs a class token"):
        create_video_classifier(**TINY, class_token=False, pooling="class")


def test_frames_have_positions_of_their_own():
    clips = torch.randn(1, 3, 4, 28, 28)
    model = random_positions()
    assert not torch.allclose(model(clips), model(clips.flip(2)), atol=1e-3)
    # The same table in every frame, and the order of the frames no longer matters.
    with torch.no_grad():
        model.pos_embed[:, 1:] = model.pos_embed[:, 1:5].repeat(1, 4, 1)
    torch.testing.assert_close(model(clips), model(clips.flip(2)))


@pytest.mark.parametrize(("frames", "side"), [(8, 28), (2, 28), (4, 42)])
def test_other_lengths_and_sizes(frames, side):
    assert random_positions()(torch.randn(1, 3, frames, side, side)).shape == (1, 5)


def test_labels_of_another_number_of_classes():
    with pytest.raises(InputError, match="the labels range from 0 to 5, but the model has classes 0 to 4"):
        create_video_classifier(**TINY).train()({"video": torch.randn(2, 3, 4, 28, 28), "label": torch.tensor([0, 5])})


def test_unknown_model():
    with pytest.raises(
        InputError, match="'eva_huge' is not a model of this package; choose one of eva_giant_patch14_v"
    ):
        create_video_classifier("eva_huge")


def test_models_are_created_with_the_weights_of_a_file(tmp_path):
    trained = random_positions()
    torch.save({"model": trained.state_dict()}, tmp_path / "video.pth")
    model = create_video_classifier(**TINY, weights=tmp_path / "video.pth")
    assert not model.training
    clips = torch.randn(1, 3, 4, 28, 28)
    assert torch.equal(model(clips), trained(clips))
    other_head = {**TINY, "num_classes": 6}
    with pytest.raises(InputError, match=r"head\.\w+ does not fit the model"):
        create_video_classifier(**other_head, weights=tmp_path / "video.pth")
    partial = create_video_classifier(**other_head, weights=tmp_path / "video.pth", strict=False, dtype=torch.bfloat16)
    assert torch.equal(partial.pos_embed, trained.pos_embed.bfloat16())
    assert partial.head.weight.shape == (6, 32)


def test_recomputed_blocks_give_the_same_gradients():
    torch.manual_seed(0)
    model = create_video_classifier(**TINY).train()
    batch = {"video": torch.randn(2, 3, 4, 28, 28), "label": torch.tensor([0, 1])}
    gradients = []
    for recompute in (False, True):
        model.checkpoint_blocks = recompute
        model.zero_grad()
        model(batch)["loss_cls"].backward()
        gradients.append(model.blocks[0].mlp.fc1.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_models_need_no_detectron2_and_no_decoder():
    code = (
        "import sys; sys.modules['detectron2'] = sys.modules['av'] = None\n"
        "import eva_video as v\n"
        "v.create_video_classifier('eva_tiny_patch14_video', num_classes=3, num_frames=2, img_size=28)\n"
        "assert v.kinetics_names('k400')\n"
        "assert not [m for m in sys.modules if m.startswith('detectron2_ext')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
