from eva_video import rows_of_k722
from projects.Video.configs.common.kinetics_loader import ROOT
from projects.Video.configs.common.models.eva_giant import model
from projects.Video.configs.kinetics400 import dataloader, optimizer, train

from .common.schedule import train_for_epochs

# train.init_checkpoint: eva_video_k722.pth. To evaluate: eva_video_k700.pth.
model.num_classes = 700
model.starting.head_rows = rows_of_k722("k700")

dataloader.class_names = "k700"
dataloader.train.dataset.annotations = f"{ROOT}/k700_train.txt"
dataloader.test.dataset.annotations = f"{ROOT}/k700_val.txt"

# A constant learning rate, see kinetics400.py.
lr_multiplier = train_for_epochs(train, epochs=2, warmup_epochs=0, iters_per_epoch=2086, start=1.0, end=1.0)
