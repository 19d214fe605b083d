from eva_video import rows_of_k722

from .common.kinetics_loader import ROOT, dataloader
from .common.models.eva_giant import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

published = {"init": ["eva_video_k722.pth"], "evaluate": ["eva_video_k400.pth"]}

# The positions of the initial weights are resized from 8 to 16 frames, and their head is reduced to the classes of this
# dataset.
model.update(num_classes=400, num_frames=16, drop_path_rate=0.2)
model.state_dict_adapter.update(num_classes=722, head_rows=rows_of_k722("k400"))

dataloader.class_names = "k400"
dataloader.train.dataset.annotations = f"{ROOT}/k400_train.txt"
dataloader.test.dataset.annotations = f"{ROOT}/k400_val.txt"
# Probabilities are averaged over twelve views of each video.
dataloader.test.mapper.frame_sampler.num_clips = 4
dataloader.test.mapper.transform.num_crops = 3

optimizer.lr = 1e-6
optimizer.params.decay_rate = 0.95
# Number of micro-batches per iteration; with 64 GPUs, each has one clip per GPU.
train.accumulation_steps = 4
# The learning rate is constant: the published settings give 1e-6 as the base rate, as the start of the warm-up and as
# the minimum of the cosine schedule. This short training only adapts the weights to the set of classes.
lr_multiplier = train_for_epochs(train, epochs=1, warmup_epochs=0, iters_per_epoch=916, start=1.0, end=1.0)
