from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# Every key, its meaning and its default: eva_engine/config/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
train.amp.enabled = True
train.activation_checkpointing = "torch"
train.seed = 1024
train.log_period = 10
train.checkpointer.update(max_to_keep=2, best_metric="accuracy/top1")
