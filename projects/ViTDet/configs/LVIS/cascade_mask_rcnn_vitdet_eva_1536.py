from projects.ViTDet.configs.common.lvis_loader_lsj_1280 import dataloader
from projects.ViTDet.configs.common.models.cascade_mask_rcnn_vitdet_eva import model
from projects.ViTDet.configs.LVIS.cascade_mask_rcnn_vitdet_eva import lr_multiplier, optimizer, train

from ..common.evaluate_at_1536 import evaluate_at_1536

# To evaluate: eva_lvis.pth
evaluate_at_1536(model, dataloader)
for _predictor in model.roi_heads.box_predictors:
    _predictor.test_score_thresh = 0.001
    _predictor.test_topk_per_image = 1000
