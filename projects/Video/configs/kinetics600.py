from eva_video import rows_of_k722

from .common.schedule import train_for_epochs
from .kinetics400 import ROOT, dataloader, model, optimizer, train

published = {"init": ["eva_video_k722.pth"], "evaluate": ["eva_video_k600.pth"]}

model.num_classes = 600
model.state_dict_adapter.head_rows = rows_of_k722("k600")

dataloader.class_names = "k600"
dataloader.train.dataset.annotations = f"{ROOT}/k600_train.txt"
dataloader.test.dataset.annotations = f"{ROOT}/k600_val.txt"

# A constant learning rate, see kinetics400.py.
lr_multiplier = train_for_epochs(train, epochs=2, warmup_epochs=0, iters_per_epoch=1612, start=1.0, end=1.0)
