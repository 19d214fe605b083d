from ..common.evaluate_at_1536 import evaluate_at_1536
from .cascade_mask_rcnn_vitdet_eva import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_lvis.pth"]}

evaluate_at_1536(model, dataloader)


for _predictor in model.roi_heads.box_predictors:
    _predictor.test_score_thresh = 0.001
    _predictor.test_topk_per_image = 1000
