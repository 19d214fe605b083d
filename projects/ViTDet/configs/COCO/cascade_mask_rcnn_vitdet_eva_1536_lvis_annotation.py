from detectron2.config import LazyCall as L

from detectron2_ext.evaluation import LVISEvaluator

from .cascade_mask_rcnn_vitdet_eva_1536 import dataloader, lr_multiplier, model, optimizer, train

# LVIS annotations reduced to the 80 classes of COCO.
dataloader.test.dataset.names = "lvis_v1_val_cocofied"
dataloader.evaluator = L(LVISEvaluator)(
    dataset_name="${..test.dataset.names}",
    max_dets_per_image=300,
    output_dir="${train.output_dir}/inference",
)
