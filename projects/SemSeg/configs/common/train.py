from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# Every key, its meaning and its default: eva_engine/config/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
# The published runs were in full precision, at 35 GB for one image on a GPU.
train.activation_checkpointing = "torch"
train.log_period = 50
train.checkpointer.update(period=1000, max_to_keep=2, best_metric="sem_seg/mIoU")
