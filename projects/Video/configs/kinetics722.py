from detectron2.config import LazyCall as L

from eva_video.data import ClipMixing

from .common.kinetics_loader import ROOT, dataloader
from .common.models.eva_giant import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

published = {"init": ["eva_psz14.pt"], "evaluate": ["eva_video_k722.pth"]}

# The initial weights of an image model are inflated when they are loaded. The accuracy was published with one view, and
# with the twelve of
# dataloader.test.mapper.frame_sampler.num_clips=4 dataloader.test.mapper.transform.num_crops=3
model.update(num_classes=722, num_frames=8, drop_path_rate=0.3)

# The union of Kinetics-400, -600 and -700: each video once, without those of the three validation sets.
dataloader.class_names = "k722"
dataloader.train.dataset.annotations = f"{ROOT}/k722_train.txt"
dataloader.test.dataset.annotations = f"{ROOT}/k722_val.txt"
dataloader.train.collate.mixing = L(ClipMixing)(
    num_classes="${model.num_classes}",
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    # Probability of CutMix rather than mixup.
    switch_prob=0.5,
    smoothing="${model.smoothing}",
)

lr_multiplier = train_for_epochs(train, epochs=40, warmup_epochs=5, iters_per_epoch=2458, start=0.0, end=0.01)
