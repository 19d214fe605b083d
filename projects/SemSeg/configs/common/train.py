from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# eva_engine/config/train_settings.py describes all keys and their defaults.
train = OmegaConf.create(TRAIN_SETTINGS)
# The published runs used full precision, with 35 GB of memory for one image per GPU.
train.activation_checkpointing = "torch"
train.log_period = 50
train.checkpointer.update(period=1000, max_to_keep=2, best_metric="sem_seg/mIoU")
