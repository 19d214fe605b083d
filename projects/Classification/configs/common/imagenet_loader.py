from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_classification.data import EvaluationMapper, ImageCollate, ImageDataset, TrainingMapper
from eva_classification.evaluation import ClassificationEvaluator
from eva_classification.transforms import evaluation_transform, training_transform
from eva_engine.data import EvalLoader, build_train_loader, dataset_root

dataloader = OmegaConf.create(flags={"allow_objects": True})
# The published results are those of images as they are stored. true turns them as their EXIF tags say, in training,
# evaluation and `predict`; set it for your own photos.
dataloader.apply_exif_orientation = False

dataloader.train = L(build_train_loader)(
    dataset=L(ImageDataset)(
        root=f"{dataset_root()}/imagenet",
        split="train",
        # From folder name to class index: a text file (.txt) with one name per line, or the name of a class map that
        # ImageDataset knows. null: in the order of the folders.
        class_map="imagenet",
        num_classes="${model.num_classes}",
    ),
    mapper=L(TrainingMapper)(
        transform=L(training_transform)(
            size="${model.img_size}", scale=(0.08, 1.0), auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.0
        ),
        # "skip" logs an image that cannot be read and draws another one instead.
        on_error="stop",
        apply_exif_orientation="${dataloader.apply_exif_orientation}",
    ),
    # timm's Mixup, for mixup and CutMix; in21k_224.py has an example.
    collate=L(ImageCollate)(mixup=None),
    aspect_ratio_grouping=False,
    # Images per iteration over all processes.
    total_batch_size=512,
    num_workers=8,
    prefetch_factor=8,
)

dataloader.test = L(EvalLoader)(
    dataset=L(ImageDataset)(
        root=f"{dataset_root()}/imagenet",
        split="val",
        class_map="imagenet",
        num_classes="${model.num_classes}",
    ),
    mapper=L(EvaluationMapper)(
        # The shorter side is resized to size / crop_pct pixels. null: 224/256 for sizes below 384, else 1.
        transform=L(evaluation_transform)(size="${model.img_size}", crop_pct=None, interpolation="bicubic"),
        # "skip" counts an image that cannot be read as wrong.
        on_error="stop",
        apply_exif_orientation="${dataloader.apply_exif_orientation}",
    ),
    collate=L(ImageCollate)(),
    batch_size=24,
    num_workers=8,
    # Number of GPUs of the published evaluation, which repeated the first images until all GPUs had equally many.
    repeat_to_multiple_of=1,
)

dataloader.evaluator = L(ClassificationEvaluator)()
