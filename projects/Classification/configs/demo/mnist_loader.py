from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_classification.data import EvaluationMapper, ImageCollate
from eva_classification.transforms import evaluation_transform
from eva_demos.classification.mnist_digits import MEAN, STD, RandomShiftMapper, TrainingDigits, heldout_digits
from eva_engine.data import EvalLoader, build_train_loader

dataloader = OmegaConf.create(flags={"allow_objects": True})

dataloader.train = L(build_train_loader)(
    dataset=L(TrainingDigits)(),
    mapper=L(RandomShiftMapper)(max_shift=1),
    collate=L(ImageCollate)(mixup=None),
    aspect_ratio_grouping=False,
    total_batch_size=64,
    num_workers=0,
)
dataloader.test = L(EvalLoader)(
    # folder: where to write the images; null: mnist_heldout in the dataset root.
    dataset=L(heldout_digits)(folder=None),
    mapper=L(EvaluationMapper)(
        transform=L(evaluation_transform)(size="${model.img_size}", crop_pct=1.0, mean=[MEAN] * 3, std=[STD] * 3),
    ),
    collate=L(ImageCollate)(),
    batch_size=100,
)
