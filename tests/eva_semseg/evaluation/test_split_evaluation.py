"""Models that are sharded over processes: evaluation on images that need different numbers of windows, training."""

import faulthandler
import json
import socket
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from detectron2.utils import comm
from PIL import Image
from tiny_semseg_recipe import DEMOS, tiny_recipe
from torch.distributed.tensor import DTensor

from eva_engine.training.distributed import launch, parallelize
from eva_engine.training.evaluation import evaluate


def evaluate_sharded(root: str, parallel: str, head: str) -> None:
    faulthandler.dump_traceback_later(100, exit=True)  # a deadlock would last for an hour
    torch.set_num_threads(1)
    cfg = tiny_recipe(Path(root), head=head)  # every process writes the images
    comm.synchronize()
    cfg.model.inference.windows.batch_size = 1
    cfg.train.output_dir = root
    if comm.is_main_process():
        for index in (0, 1):  # the images of rank 0: upright ones, which need more windows
            for path in (f"{root}/images/{index}.png", f"{root}/labels/{index}.png"):
                Image.open(path).resize((30, 90), Image.Resampling.NEAREST).save(path)
    comm.synchronize()
    torch.manual_seed(0)
    model = instantiate(cfg.model).eval()
    if parallel == "fsdp":
        cfg.train.parallel = parallel
        model = parallelize(model, cfg.train)
    results = evaluate(cfg, model)
    if parallel == "fsdp":
        assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
        # As in training: blocks free the parameters that they have gathered after a forward pass.
        with torch.no_grad():
            model(torch.zeros(1, 3, 64, 64))
        assert all(isinstance(parameter, DTensor) for parameter in model.backbone.blocks.parameters())
        assert not any(isinstance(parameter, DTensor) for parameter in model.decode_head.parameters())
        losses = model.train()({"image": torch.randn(2, 3, 64, 64), "label": torch.ones(2, 64, 64).long()})
        sum(losses.values()).backward()
        assert all(isinstance(parameter.grad, DTensor) for parameter in model.parameters())
    if comm.is_main_process():
        Path(root, "found.json").write_text(json.dumps(results["sem_seg"]))


@pytest.mark.parametrize("head", DEMOS)
def test_processes_with_different_numbers_of_windows_do_not_wait_for_each_other(tmp_path, head) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    split = (str(tmp_path / "two"), "fsdp", head)
    launch(evaluate_sharded, split, processes_per_machine=2, dist_url=f"tcp://127.0.0.1:{port}")
    evaluate_sharded(str(tmp_path / "one"), "", head)
    faulthandler.cancel_dump_traceback_later()
    one, two = (json.loads((tmp_path / name / "found.json").read_text()) for name in ("one", "two"))
    assert two == pytest.approx(one)
