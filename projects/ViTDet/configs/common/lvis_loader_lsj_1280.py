from detectron2.config import LazyCall as L
from detectron2.data.samplers import RepeatFactorTrainingSampler

from detectron2_ext.data import repeat_factors
from detectron2_ext.evaluation import LVISEvaluator

from .coco_loader_lsj_1280 import dataloader

dataloader.train.dataset.names = "lvis_v1_train"
# Images of rare classes are sampled more often, by the factor max(1, sqrt(repeat_thresh / f)), where f is the fraction
# of images that contain the class.
dataloader.train.sampler = L(RepeatFactorTrainingSampler)(
    repeat_factors=L(repeat_factors)(dataset_dicts="${dataloader.train.dataset}", repeat_thresh=0.001)
)
dataloader.test.dataset.names = "lvis_v1_val"
dataloader.evaluator = L(LVISEvaluator)(
    dataset_name="${..test.dataset.names}",
    max_dets_per_image=300,
    output_dir="${train.output_dir}/inference",
)
