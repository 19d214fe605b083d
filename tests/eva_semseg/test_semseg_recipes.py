"""The recipes: models, parameter groups and schedules as published, and a complete tiny run."""

import json

import pytest
import torch
from detectron2.config import instantiate
from tiny_semseg_recipe import CONFIGS, DEMOS, tiny_recipe

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.data import read_rgb_image
from eva_engine.training import train
from eva_semseg.prediction import SegmentationPredictor

# parameters, classes, images, iterations, learning rate, decay, warm-up, views
RECIPES = {
    "coco_stuff164k": (1_280_654_636, 171, 32, 60_000, 1.5e-5, 0.95, 1500, 1),
    "ade20k_ss": (1_280_633_111, 150, 64, 20_000, 2.5e-5, 0.95, 500, 1),
    "ade20k_ms": (1_280_633_111, 150, 64, 20_000, 2.5e-5, 0.95, 500, 14),
    "coco_stuff164k_9dec": (1_305_451_308, 171, 32, 80_000, 1e-5, 0.95, 1500, 1),
    "ade20k_9dec_ss": (1_305_429_783, 150, 32, 40_000, 1e-5, 0.9, 1500, 1),
    "ade20k_9dec_ms": (1_305_429_783, 150, 32, 40_000, 1e-5, 0.9, 1500, 14),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_as_published(name) -> None:
    parameters, classes, images, iterations, lr, decay, warmup, num_views = RECIPES[name]
    cfg = load_config(str(CONFIGS / f"{name}.py"))
    with torch.device("meta"):
        model = instantiate(cfg.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert model.num_classes == classes
    cfg.optimizer.params.model = model
    groups = instantiate(cfg.optimizer).param_groups
    assert len(groups) == 84
    assert min(group["lr"] for group in groups) == pytest.approx(lr * decay**41)
    assert max(group["lr"] for group in groups) == lr
    # As published, the classifier learns as slowly as the patch embedding.
    classifier = model.decode_head.cls_embed.weight
    (rate,) = (group["lr"] for group in groups if any(parameter is classifier for parameter in group["params"]))
    assert rate == pytest.approx(lr * decay**41)
    schedule = instantiate(cfg.lr_multiplier)
    assert (schedule.max_iter, schedule.warmup_iters) == (cfg.train.max_iter, warmup) == (iterations, warmup)
    assert cfg.dataloader.train.total_batch_size == images
    assert not cfg.train.amp.enabled
    views = instantiate(cfg.dataloader.test.mapper.views)
    assert len(views.ratios) * (1 + views.flip) == num_views
    mapper = instantiate(cfg.dataloader.train.mapper)
    assert mapper.size == mapper.augmentations[1].size == (896, 896)
    assert mapper.num_classes == classes


@pytest.mark.filterwarnings("ignore")
def test_a_tiny_run_trains_evaluates_and_segments(tmp_path) -> None:
    cfg = tiny_recipe(tmp_path)
    (tmp_path / "out").mkdir()
    model = train(cfg)
    results = json.loads((tmp_path / "out/results.json").read_text())["sem_seg"]
    assert {"mIoU", "aAcc", "mAcc", "IoU-dark", "IoU-bright"} <= results.keys()
    line = json.loads((tmp_path / "out/metrics.json").read_text().splitlines()[0])
    assert {"loss_cls", "loss_mask", "loss_dice", "d0.loss_cls"} <= line.keys()

    predictor = SegmentationPredictor.from_config(cfg, tmp_path / "out/model_final.pth", "cpu")
    assert predictor.class_names == ("dark", "bright")
    images = list(instantiate(cfg.dataloader.test))
    model.eval()
    with torch.inference_mode():
        (expected,) = model(images[0])
    found = predictor(read_rgb_image(images[0][0]["file_name"]))
    assert (found.labels == expected["sem_seg"].argmax(0).numpy()).all()
    assert found.labels.shape == (70, 90)

    same = SegmentationPredictor(model, predictor.views, ["black", "white"], "cpu")
    assert same.class_names == ("black", "white")
    assert (same(read_rgb_image(images[0][0]["file_name"])).labels == found.labels).all()
    with pytest.raises(InputError, match="3 class names, but the model has 2"):
        SegmentationPredictor(model, predictor.views, ["a", "b", "c"])


def test_custom_data_with_another_number_of_classes(tmp_path) -> None:
    cfg = tiny_recipe(tmp_path)
    cfg.model.decode_head.num_classes = 5
    with pytest.raises(InputError, match=r"2 classes, the model 5; give model.decode_head.num_classes=2"):
        instantiate(cfg.dataloader.train.dataset)


@pytest.mark.parametrize("head", DEMOS)
@torch.inference_mode()
def test_windows_and_the_whole_image_agree_where_one_window_is_enough(tmp_path, head) -> None:
    cfg = tiny_recipe(tmp_path, head=head)
    torch.manual_seed(0)
    model = instantiate(cfg.model).eval()
    image = {"views": instantiate(cfg.dataloader.test.mapper.views)(torch.zeros(60, 62, 3).byte().numpy() + 9)}
    image |= {"height": 60, "width": 62}
    model.inference.windows.size = (96, 96)
    (tiled,) = model([image])
    model.inference.windows.size = None
    (whole,) = model([image])
    torch.testing.assert_close(tiled["sem_seg"], whole["sem_seg"])
    # The scores at a quarter of the resolution are those of the model itself after a resize.
    pixels = torch.randn(1, 3, 64, 96)
    expected = model(pixels)
    model.inference.windows.size = (64, 96)
    found = model.inference.windows(model._window_scores, pixels).rows()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    odd = torch.randn(1, 3, 50, 70)
    found = model.inference.windows(model._window_scores, odd).rows()
    torch.testing.assert_close(found, model(odd), rtol=0, atol=1e-5)
