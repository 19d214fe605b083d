"""Moving average of the weights: its formula, restoring it, and models that FSDP shards over two processes."""

import copy

import pytest
import torch
from omegaconf import OmegaConf
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from eva_backbone.errors import InputError
from eva_engine.training.optimization import build_ema

DECAY = 0.75


def settings(enabled=True, decay=DECAY):
    return OmegaConf.create({"enabled": enabled, "decay": decay, "evaluate": False})


class Model(nn.Sequential):
    """A frozen matrix, float and integer buffers, and a buffer that is not saved."""

    def __init__(self):
        super().__init__(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))
        self[0].weight.requires_grad_(False)
        self.register_buffer("pixel_mean", torch.ones(3), persistent=False)


def change(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
        model[1].running_mean.add_(4.0)
        model[1].num_batches_tracked.add_(1)


def test_average_follows_the_weights_and_leaves_the_frozen_ones():
    model = Model()
    start = copy.deepcopy(model.state_dict())
    ema = build_ema(settings(), model)
    for distance in (1 - DECAY, DECAY * (1 - DECAY) + (1 - DECAY) * 2):
        change(model)
        ema.update(model)
        average = ema.module.state_dict()
        torch.testing.assert_close(average["2.weight"], start["2.weight"] + distance)
    assert torch.equal(average["0.weight"], start["0.weight"])
    torch.testing.assert_close(average["1.running_mean"], start["1.running_mean"] + 4 * distance)
    assert average["1.num_batches_tracked"] == 2
    assert not ema.module.training
    assert model.training


def test_restored_average_continues_bit_for_bit():
    model = Model()
    ema = build_ema(settings(), model)
    change(model)
    ema.update(model)
    saved = copy.deepcopy([model.state_dict(), ema.module.state_dict()])
    change(model)
    ema.update(model)

    again = Model()
    restored = build_ema(settings(), again)
    again.load_state_dict(saved[0])
    restored.module.load_state_dict(saved[1])
    change(again)
    restored.update(again)
    for name, value in ema.module.state_dict().items():
        assert torch.equal(restored.module.state_dict()[name], value), name


def test_no_average_unless_enabled():
    assert build_ema(settings(enabled=False), Model()) is None


@pytest.mark.parametrize("decay", [1.0, -0.1, 9999])
def test_decay_out_of_range_is_refused(decay):
    with pytest.raises(InputError, match=r"train\.ema\.decay=.* is out of range"):
        build_ema(settings(decay=decay), Model())


def update_sharded_model(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    unsharded = Model()
    sharded = copy.deepcopy(unsharded)
    unsharded_ema, sharded_ema = build_ema(settings(), unsharded), build_ema(settings(), sharded)
    for module in (sharded, sharded_ema.module):
        for layer in module:
            fully_shard(layer, mesh=mesh)
        fully_shard(module, mesh=mesh)
    for model, ema in ((unsharded, unsharded_ema), (sharded, sharded_ema)):
        change(model)
        ema.update(model)
    averages = sharded_ema.module.state_dict()
    assert averages["2.weight"].to_local().shape[0] < 3
    for name, value in unsharded_ema.module.state_dict().items():
        average = averages[name]
        assert torch.equal(average.full_tensor() if hasattr(average, "full_tensor") else average, value), name
    images = torch.randn(4, 5)
    torch.testing.assert_close(sharded_ema.module(images), unsharded_ema.module(images))
    distributed.destroy_process_group()


def test_average_of_a_model_sharded_over_two_processes(tmp_path):
    multiprocessing.spawn(update_sharded_model, (str(tmp_path),), nprocs=2)
