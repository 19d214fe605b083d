"""timm's model interface of the backbone and of every task's model."""

import pytest
import timm
import torch
from one_backbone_models import MODELS
from timm.optim import param_groups_layer_decay

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_classification import create_classifier

SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 4, "mlp_ratio": 2.0}
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone() -> VisionTransformer:
    return VisionTransformer(**SIZES, rel_pos="joint").eval()


@pytest.fixture
def both() -> tuple[VisionTransformer, torch.nn.Module]:
    """A backbone and timm's model with the same weights."""
    ours = VisionTransformer(**SIZES, qkv_bias="full").eval()
    reference = timm.models.VisionTransformer(
        **SIZES, num_classes=0, qkv_bias=True, class_token=True, global_pool="token"
    ).eval()
    reference.load_state_dict(ours.state_dict())
    return ours, reference


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"indices": 2},
        {"indices": [0, -1]},
        {"indices": [-1, 0, 0]},
        {"indices": [1], "stop_early": True, "intermediates_only": True},
        {"indices": [0, 2], "norm": True, "output_fmt": "NLC"},
        {"indices": [3], "return_prefix_tokens": True},
    ],
)
def test_intermediate_features_are_those_of_timm(both, options):
    ours, reference = both
    with torch.no_grad():
        found, expected = (model.forward_intermediates(PIXELS, **options) for model in (ours, reference))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_features_of_every_block_lead_to_the_output(backbone):
    with torch.no_grad():
        final, features = backbone.forward_intermediates(PIXELS, output_fmt="NLC", norm=True)
        torch.testing.assert_close(final, backbone(PIXELS))
        torch.testing.assert_close(features[-1], backbone(PIXELS)[:, 1:])
    assert len(features) == 4


def test_attention_maps_are_the_weights_of_the_values(backbone):
    with torch.no_grad():
        final, _, maps = backbone.forward_intermediates(PIXELS, [1, 3], return_attention=True)
        torch.testing.assert_close(final, backbone(PIXELS))
        assert [tuple(weights.shape) for weights in maps] == [(2, 4, 17, 17)] * 2
        torch.testing.assert_close(maps[0].sum(-1), torch.ones(2, 4, 17))
        # the output of the last attention, from its map
        attention = backbone.blocks[3].attn
        x = torch.randn(2, 17, 32)
        weights = attention.attention_map(x, (4, 4))
        value = attention._project(x, x, x)[2].unflatten(-1, (4, 8)).transpose(1, 2)
        expected = attention.proj((weights @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(attention(x, (4, 4)), expected)


def test_attention_maps_of_windows():
    model = VisionTransformer(**SIZES, class_token=False, window_size=3, window_blocks=[0]).eval()
    with torch.no_grad():
        windowed, full = model.forward_intermediates(PIXELS, [0, 1], return_attention=True, intermediates_only=True)[1]
    assert windowed.shape == (2 * 4, 4, 9, 9)
    assert full.shape == (2, 4, 16, 16)


def test_layer_decay_of_timm_uses_the_layers():
    model = create_classifier("eva_tiny_patch14", num_classes=3, img_size=28)
    groups = param_groups_layer_decay(
        model, weight_decay=0.1, layer_decay=0.5, no_weight_decay_list=model.no_weight_decay()
    )
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    scale_of = {name_of[parameter]: group["lr_scale"] for group in groups for parameter in group["params"]}
    assert scale_of["head.weight"] == scale_of["fc_norm.weight"] == 1
    assert scale_of["blocks.3.mlp.fc1.weight"] == 0.5
    assert scale_of["blocks.0.attn.qkv.weight"] == 0.5**4
    assert scale_of["pos_embed"] == scale_of["cls_token"] == scale_of["patch_embed.proj.weight"] == 0.5**5
    decayed = {name_of[parameter] for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert not decayed & {"pos_embed", "cls_token", "head.bias"}


def test_a_classifier_without_classes_gives_features():
    model = create_classifier("eva_tiny_patch14", num_classes=0, img_size=28).eval()
    images = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        features = model(images)
        assert features.shape == (2, model.num_features)
        torch.testing.assert_close(features, model.forward_head(model.forward_features(images), pre_logits=True))
        model.reset_classifier(5)
        assert model(images).shape == (2, 5)
        assert model.num_classes == model.get_classifier().out_features == 5


@pytest.mark.parametrize("name", MODELS)
def test_models_of_all_tasks_delegate_to_their_backbone(name):
    with torch.device("meta"):
        model = MODELS[name]()
    names = {parameter for parameter, _ in model.named_parameters()}
    assert model.num_features > 0
    assert model.no_weight_decay() & names
    groups = timm.models.group_parameters(model, model.group_matcher(), reverse=True)
    patch_embedding, last_block = (
        next(parameter for parameter in names if part in parameter and "text." not in parameter)
        for part in ("patch_embed.proj.weight", "blocks.3.norm2.weight")
    )
    assert groups[patch_embedding] == 0
    assert groups[last_block] == 4
    model.set_grad_checkpointing()
    assert any(getattr(module, "checkpoint_blocks", False) for module in model.modules())
    assert callable(model.forward_intermediates)


WITH_CLASSES = [name for name in MODELS if name not in ("pre-training", "CLIP")]


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_new_class_layers_have_the_device_and_dtype_of_the_model(name):
    with torch.device("meta"):
        model = MODELS[name]()
    model.to(torch.bfloat16).reset_classifier(3)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize("name", WITH_CLASSES)
@pytest.mark.parametrize("num_classes", [0, -1, 2.5])
def test_bad_number_of_classes_changes_nothing(name, num_classes):
    with torch.device("meta"):
        model = MODELS[name]()
    if num_classes == 0 and name in ("classifier", "video"):  # no head: features
        return
    before = {key: value.shape for key, value in model.state_dict().items()}
    with pytest.raises(InputError, match=f"num_classes={num_classes} is not a number of classes"):
        model.reset_classifier(num_classes)
    assert {key: value.shape for key, value in model.state_dict().items()} == before


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (0, "indices=0 is not a number of blocks of this model; give 1 to 4"),
        (100, "indices=100 is not a number"),
        ([], r"indices=\[\] does not name blocks"),
        ([0, 4], r"indices=\[0, 4\] does not name blocks of this model; choose from 0 to 3"),
        ([-5], r"indices=\[-5\] does not"),
        ([1.5], r"indices=\[1.5\] does not"),
    ],
)
def test_blocks_that_do_not_exist(backbone, indices, message):
    with pytest.raises(InputError, match=message):
        backbone.forward_intermediates(PIXELS, indices)
