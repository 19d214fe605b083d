"""The adapter around the ViT: any image size, gradients at every batch size, recomputation, options."""

import pytest
import torch
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_engine.training.adaptation.activation_checkpointing import checkpoint_activations
from eva_semseg.adapter import FEATURE_NAMES, AdapterBackbone
from eva_semseg.spatial_prior import SyncBatchNorm

TINY = {
    "img_size": 64,
    "embed_dim": 32,
    "depth": 4,
    "num_heads": 4,
    "mlp_ratio": 2.0,
    "prior_width": 4,
    "deform_heads": 4,
}
RELATIVE = {"rel_pos": "joint", "layer_scale": 1.0}


def build(dtype=torch.float32, **options) -> AdapterBackbone:
    """A tiny model whose weights are all random, so that no error is hidden by a zero."""
    torch.manual_seed(0)
    model = AdapterBackbone(**{**TINY, **options}).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("options", [{}, RELATIVE])
@pytest.mark.parametrize("size", [(64, 64), (32, 160), (96, 33), (50, 70), (16, 16)])
def test_any_size_gives_maps_of_the_padded_image(size, options):
    model = build(**options).eval()
    pixels = torch.randn(1, 3, *size)
    padded = [side + -side % 32 for side in size]
    whole = torch.zeros(1, 3, *padded)
    whole[..., : size[0], : size[1]] = pixels
    with torch.no_grad():
        maps, expected = model(pixels), model(whole)
    for name, stride in zip(FEATURE_NAMES, (4, 8, 16, 32), strict=True):
        assert maps[name].shape == (1, 32, padded[0] // stride, padded[1] // stride)
        torch.testing.assert_close(maps[name], expected[name], rtol=0, atol=0)
        assert maps[name].isfinite().all()


def loss(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    return sum((features**2).mean() for features in model(pixels).values())


def test_without_a_class_token_no_patch_is_left_out():
    model = build(class_token=False).eval()
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _block, inputs: seen.append(inputs[0]))
    model.interactions[0].injector.register_forward_pre_hook(lambda _injector, inputs: seen.insert(0, inputs[0]))
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 96))
    assert [tokens.shape for tokens in seen] == [(1, 4 * 6, 32)] * 2


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_equal_finite_differences(batch, training):
    """Along a random direction of all parameters and pixels, in double precision."""
    model = build(torch.float64, img_size=(64, 96), **RELATIVE).train(training)
    pixels = torch.randn(batch, 3, 64, 96, dtype=torch.float64, requires_grad=True)
    leaves = [pixels, *model.parameters()]
    gradients = torch.autograd.grad(loss(model, pixels), leaves)
    directions = [torch.randn_like(leaf) for leaf in leaves]
    slope = sum((gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -1):
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf.add_(direction, alpha=step if sign == 1 else -2 * step)
            values.append(loss(model, pixels))
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_of_a_view_of_tokens_has_right_gradients(batch, training):
    tokens = torch.randn(batch, 96, 32, dtype=torch.float64, requires_grad=True)
    norm = SyncBatchNorm(32).double().train(training)
    factors = torch.randn(batch, 32, 8, 12, dtype=torch.float64)

    def weighted_sum(x: torch.Tensor) -> torch.Tensor:
        return (norm(x.transpose(1, 2).reshape(batch, 32, 8, 12)) * factors).sum()

    assert torch.autograd.gradcheck(weighted_sum, (tokens,), fast_mode=True)


def test_batch_norm_trains_on_the_cpu_inside_a_process_group(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        norm = SyncBatchNorm(3)
        norm(torch.randn(2, 3, 4, 4))
        assert norm.num_batches_tracked == 1
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("how", ["torch", "fairscale"])
def test_recomputation_changes_no_gradient(how):
    pixels = torch.randn(2, 3, 64, 64)
    gradients = []
    for choice in ("", how):
        model = build(drop_path_rate=0.5)
        if choice == "fairscale":
            pytest.importorskip("fairscale")
        checkpoint_activations(model, choice)
        torch.manual_seed(1)
        loss(model, pixels).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, expected in gradients[0].items():
        if name == "pos_embed":
            assert expected[:, 0].count_nonzero() == 0  # the class token has no position
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-4, atol=1e-6, msg=name)


def test_recomputation_saves_memory():
    kept = []
    for how in ("", "torch"):
        model = build()
        checkpoint_activations(model, how)
        sizes = {}

        def pack(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = loss(model, torch.randn(1, 3, 256, 256))
        kept.append(sum(sizes.values()))
        del result
    assert kept[1] < 0.5 * kept[0]


def test_fresh_injectors_leave_the_vit_as_it_is():
    """After the last group, the tokens are those of the ViT alone if its class token has no position either."""
    torch.manual_seed(0)
    model = AdapterBackbone(**TINY).eval()
    bare = VisionTransformer(
        **{name: TINY[name] for name in ("img_size", "embed_dim", "depth", "num_heads", "mlp_ratio")},
        patch_size=16,
        final_norm=False,
    )
    weights = {name: value for name, value in model.state_dict().items() if name in bare.state_dict()}
    weights["pos_embed"] = weights["pos_embed"].clone()
    weights["pos_embed"][:, 0] = 0
    bare.load_state_dict(weights)
    seen = []
    handle = model.blocks[-1].register_forward_hook(lambda *args: seen.append(args[-1]))
    pixels = torch.randn(1, 3, 96, 64)
    model(pixels)
    handle.remove()
    torch.testing.assert_close(seen[0], bare(pixels), rtol=1e-5, atol=1e-5)


def test_maps_under_autocast_are_close():
    model = build().eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(pixels)
    for name in FEATURE_NAMES:
        error = (found[name].float() - expected[name]).norm() / expected[name].norm()
        assert error < 0.05, name


def test_stored_entries_hold_no_index_tables():
    assert not [name for name in build(**RELATIVE).state_dict() if "index" in name]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"block_groups": [(0, 1), (2, 2), (3, 3)]}, "are not 4 groups"),
        ({"block_groups": [(0, 0), (1, 1), (2, 2), (2, 3)]}, "follow each other"),
        ({"patch_size": 14}, "patch_size=14 does not fit the adapter"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        AdapterBackbone(**{**TINY, **options})
