"""EVA-02's detectors: detections and losses of a tiny one; selection of boxes, recipes and moving average."""

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from torch import nn

from detectron2_ext.modeling.box_selection import BoxSelection
from eva_engine.config import load_config
from eva_engine.training.optimization import build_ema, layer_decay

from ..case import GoldenCase, family
from ..weights import draw_normal
from .detection_detector import check_detector
from .detection_training import CONFIGS
from .eva02_backbone import eva02_vit

SELECTION = ("use_soft_nms", "method", "iou_threshold", "sigma", "override_score_thresh")


@family("eva02_cascade_mask_rcnn")
def check_eva02_detector(case: GoldenCase) -> None:
    check_detector(case, eva02_vit)


@family("eva02_training")
def check_training_parts(case: GoldenCase) -> None:
    for settings in case.spec["layer_decay"]:
        decay = layer_decay(num_layers=settings["num_layers"], lr_decay_rate=settings["lr_decay_rate"])
        for name, factor in settings["factors"].items():
            assert decay(name) == factor, name
    for path, settings in case.spec["configs"].items():
        check_recipe(path, settings)
    check_selection(case)
    check_moving_average(case)


def check_recipe(path: str, settings: dict) -> None:
    cfg = load_config(str(CONFIGS / f"{path}.py"))
    net = cfg.model.backbone.net
    found = {
        "amp": cfg.train.amp.enabled,
        "betas": list(cfg.optimizer.betas),
        "drop_path_rate": net.drop_path_rate,
        "ema": cfg.train.ema.enabled,
        "ema_decay": cfg.train.ema.decay,
        "image_size": net.img_size,
        "lr": cfg.optimizer.lr,
        "lr_factor": {name: cfg.optimizer.params.lr_factor_func[name] for name in ("lr_decay_rate", "num_layers")},
        "max_iter": cfg.train.max_iter,
        "total_batch_size": cfg.dataloader.train.total_batch_size,
        "weight_decay": cfg.optimizer.weight_decay,
        "window_block_indexes": list(net.window_block_indexes),
        "window_size": net.window_size,
    }
    assert found == {name: value for name, value in settings.items() if name != "lr_multipliers"}, path
    assert cfg.model.backbone.square_pad == cfg.dataloader.test.mapper.augmentations[0].max_size == net.img_size
    assert list(cfg.dataloader.train.mapper.augmentations[2].crop_size) == [net.img_size] * 2
    multiplier = instantiate(cfg.lr_multiplier)
    for iteration, value in settings["lr_multipliers"]:
        np.testing.assert_allclose(multiplier(iteration / cfg.train.max_iter), value, rtol=1e-9, err_msg=path)


class _Predictor:
    """The options of a box predictor that hard NMS uses."""

    def __init__(self, settings: dict) -> None:
        self.test_score_thresh = settings["score_thresh"]
        self.test_nms_thresh = settings["nms_thresh"]
        self.test_topk_per_image = settings["topk"]


def check_selection(case: GoldenCase) -> None:
    boxes, scores = case.tensor("boxes"), case.tensor("scores")
    for settings in case.spec["selection"]:
        options = {name: settings[name] for name in SELECTION if name in settings}
        selection = BoxSelection(**options, class_wise=settings.get("class_wise", False))
        instances, rows = selection.select(_Predictor(settings), [boxes], [scores], [tuple(settings["image_hw"])])
        prefix = settings["prefix"]
        np.testing.assert_array_equal(rows[0], case.arrays[f"{prefix}_rows"])
        np.testing.assert_array_equal(instances[0].pred_classes, case.arrays[f"{prefix}_classes"])
        np.testing.assert_allclose(instances[0].scores, case.arrays[f"{prefix}_scores"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(instances[0].pred_boxes.tensor, case.arrays[f"{prefix}_boxes"], rtol=0, atol=1e-4)


def check_moving_average(case: GoldenCase) -> None:
    """Of a parameter; constant buffers are not averaged here, so they do not drift as in the reference."""
    spec = case.spec["ema"]
    model = nn.Module()
    model.weight = nn.Parameter(draw_normal(spec["seeds"][0], (3, 4)))
    ema = build_ema(OmegaConf.create({"enabled": True, "decay": spec["decay"]}), model)
    for seed in spec["seeds"][1:]:
        model.weight.data = draw_normal(seed, (3, 4))
        ema.update(model)
    torch.testing.assert_close(ema.module.weight.detach(), case.tensor("ema_weight"), rtol=0, atol=1e-6)
