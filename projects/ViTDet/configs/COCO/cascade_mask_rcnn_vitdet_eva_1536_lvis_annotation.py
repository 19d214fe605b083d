from detectron2.config import LazyCall as L

from detectron2_ext.evaluation import LVISEvaluator
from projects.ViTDet.configs.COCO.cascade_mask_rcnn_vitdet_eva import lr_multiplier, optimizer, train
from projects.ViTDet.configs.common.coco_loader_lsj_1024 import dataloader
from projects.ViTDet.configs.common.models.cascade_mask_rcnn_vitdet_eva import model

# LVIS annotations reduced to the 80 classes of COCO.
dataloader.test.dataset.names = "lvis_v1_val_cocofied"
dataloader.evaluator = L(LVISEvaluator)(
    dataset_name="${..test.dataset.names}",
    max_dets_per_image=300,
    output_dir="${train.output_dir}/inference",
)
