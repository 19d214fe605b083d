from eva_video import rows_of_k722

from .common.kinetics_loader import ROOT, dataloader
from .common.models.eva_giant import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

# train.init_checkpoint: eva_video_k722.pth; its positions are resized from 8 to 16 frames and its head reduced to the
# classes of this set. To evaluate: eva_video_k400.pth.
model.update(num_classes=400, num_frames=16, drop_path_rate=0.2)
model.starting.update(num_classes=722, head_rows=rows_of_k722("k400"))

dataloader.class_names = "k400"
dataloader.train.dataset.annotations = f"{ROOT}/k400_train.txt"
dataloader.test.dataset.annotations = f"{ROOT}/k400_val.txt"
# Twelve views of a video, whose probabilities are averaged.
dataloader.test.mapper.frames.num_clips = 4
dataloader.test.mapper.transform.num_crops = 3

optimizer.lr = 1e-6
optimizer.params.decay_rate = 0.95
# Clips go through the model in so many parts: one at a time on 64 GPUs.
train.accumulation_steps = 4
# The learning rate is constant: the published settings name 1e-6 as the rate, as that of the warm-up's start and as the
# least, so that the cosine has nowhere to fall. This short a training only settles the weights in new classes.
lr_multiplier = train_for_epochs(train, epochs=1, warmup_epochs=0, iters_per_epoch=916, start=1.0, end=1.0)
