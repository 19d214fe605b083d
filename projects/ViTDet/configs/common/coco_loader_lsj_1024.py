import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader
from omegaconf import OmegaConf

from detectron2_ext.data import EvaluationMapper, TrainingMapper, get_dataset_dicts
from detectron2_ext.evaluation import COCOEvaluator
from eva_engine.data import build_train_loader

dataloader = OmegaConf.create(flags={"allow_objects": True})

dataloader.train = L(build_train_loader)(
    dataset=L(get_dataset_dicts)(names="coco_2017_train"),
    mapper=L(TrainingMapper)(
        is_train=True,
        # Large-scale jitter; the model pads the crop to a square.
        augmentations=[
            L(T.RandomFlip)(horizontal=True),
            L(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=1024, target_width=1024),
            L(T.FixedSizeCrop)(crop_size=(1024, 1024), pad=False),
        ],
        image_format="RGB",
        use_instance_mask=True,
        # After a crop, a box is the bounding box of the remaining mask.
        recompute_boxes=True,
    ),
    # Images per iteration, summed over all processes.
    total_batch_size=64,
    num_workers=4,
)

dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_dataset_dicts)(names="coco_2017_val", filter_empty=False),
    mapper=L(EvaluationMapper)(
        is_train=False,
        # The long side is resized to this number of pixels.
        augmentations=[L(T.ResizeShortestEdge)(short_edge_length=1024, max_size=1024)],
        image_format="${...train.mapper.image_format}",
    ),
    num_workers=4,
)

dataloader.evaluator = L(COCOEvaluator)(
    dataset_name="${..test.dataset.names}",
    output_dir="${train.output_dir}/inference",
)
