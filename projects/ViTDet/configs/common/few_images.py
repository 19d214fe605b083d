import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler


def colour_jitter():
    """Return changes of brightness, contrast and saturation by up to a fifth, which leave boxes and masks alone."""
    return [
        L(transform)(intensity_min=0.8, intensity_max=1.2)
        for transform in (T.RandomBrightness, T.RandomContrast, T.RandomSaturation)
    ]


def use_few_image_augmentations(dataloader):
    """Add colour jitter to large-scale jitter, and do not shrink images below half of their size."""
    flip, resize, crop = dataloader.train.mapper.augmentations
    resize.min_scale = 0.5
    dataloader.train.mapper.augmentations = [flip, *colour_jitter(), resize, crop]


def use_few_image_schedule(train):
    """Evaluate at the end only, keep the last two checkpoints, and return a schedule of the learning rate.

    The rate rises linearly and then falls along a cosine; the schedule stretches with `train.max_iter`.
    """
    train.eval_period = 0
    train.log_period = 10
    train.checkpointer.max_to_keep = 2
    return L(WarmupParamScheduler)(
        scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
        warmup_length=0.08,
        warmup_method="linear",
        warmup_factor=0.01,
    )
