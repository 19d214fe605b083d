from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_engine.data import EvalLoader, build_train_loader
from eva_semseg.data import (
    EvaluationMapper,
    PhotometricDistortion,
    RandomCrop,
    RandomFlip,
    RandomScale,
    SegmentationCollate,
    SegmentationDataset,
    TestTimeAugmentation,
    TrainingMapper,
)
from eva_semseg.evaluation import SegmentationEvaluator

dataloader = OmegaConf.create(flags={"allow_objects": True})

dataloader.train = L(build_train_loader)(
    # For custom data, set image_root and label_root, folders with files of the same names, and class_names, a list or a
    # text file with one name per line, for the label values 0, 1, ... (255 marks unlabelled pixels). If the label files
    # have other values, label_values maps them to classes: {0: 0, 255: 1} for masks of one object. The test data below
    # follows the same mapping.
    dataset=L(SegmentationDataset)(
        names="coco_stuff164k_train",
        image_root=None,
        label_root=None,
        class_names=None,
        num_classes="${model.decode_head.num_classes}",
        label_values=None,
    ),
    mapper=L(TrainingMapper)(
        augmentations=[
            # The shorter side becomes 448 to 1791 pixels, the longer one at most four times as many.
            L(RandomScale)(long_side=3584, short_side=896, ratios=(0.5, 2.0)),
            L(RandomCrop)(size="${...size}", cat_max_ratio=0.75),
            L(RandomFlip)(),
            L(PhotometricDistortion)(),
        ],
        size=(896, 896),
        pixel_mean="${model.inference.pixel_mean}",
        pixel_std="${model.inference.pixel_std}",
        num_classes="${model.decode_head.num_classes}",
        # "skip" logs an image whose pixels or labels are unusable, and draws another one instead.
        on_error="stop",
    ),
    collate=L(SegmentationCollate)(),
    aspect_ratio_grouping=False,
    # Images per iteration, over all processes.
    total_batch_size=32,
    num_workers=4,
)

dataloader.test = L(EvalLoader)(
    dataset=L(SegmentationDataset)(
        names="coco_stuff164k_val",
        image_root=None,
        label_root=None,
        class_names=None,
        num_classes="${model.decode_head.num_classes}",
        label_values="${dataloader.train.dataset.label_values}",
    ),
    mapper=L(EvaluationMapper)(
        views=L(TestTimeAugmentation)(
            long_side=3584, short_side=896, ratios=[1.0], flip=False, divisor=32, min_side=0, min_short_side=0
        ),
        # "skip" evaluates a black image instead of one that cannot be read.
        on_error="stop",
    ),
    num_workers=2,
)

dataloader.evaluator = L(SegmentationEvaluator)(dataset="${..test.dataset}", output_dir=None)
