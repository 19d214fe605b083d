"""A detector for another number of classes."""

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.config import load_config

RECIPE = "projects/ViTDet/configs/{}.py"
SMALL = [
    f"model.backbone.net.{option}" for option in ("depth=1", "embed_dim=32", "num_heads=2", "window_block_indexes=[0]")
]


def build(recipe: str, *overrides: str):
    cfg = load_config(RECIPE.format(recipe), [*SMALL, *overrides])
    with torch.device("meta"):
        return instantiate(cfg.model)


@pytest.mark.parametrize(
    "recipe",
    ["COCO/mask_rcnn_vitdet_b_100ep", "COCO/cascade_mask_rcnn_vitdet_eva", "LVIS/cascade_mask_rcnn_vitdet_eva"],
)
def test_layers_are_those_of_a_model_built_for_the_classes(recipe):
    model = build(recipe)
    no_federated_loss = []
    if recipe.startswith("LVIS"):
        no_federated_loss = [f"model.roi_heads.box_predictors.{stage}.use_fed_loss=False" for stage in range(3)]
    expected = build(recipe, "model.roi_heads.num_classes=7", *no_federated_loss)
    model.reset_classifier(7)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in expected.state_dict().items()}
    assert model.roi_heads.num_classes == 7
    predictors = model.roi_heads.box_predictor
    for predictor in predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]:
        assert predictor.num_classes == 7
        assert not predictor.use_fed_loss


def test_new_layers_are_where_the_old_ones_were():
    model = build("COCO/cascade_mask_rcnn_vitdet_eva").to(torch.bfloat16)
    model.reset_classifier(3)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
