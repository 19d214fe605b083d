from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# Every key, its meaning and its default: eva_engine/config/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
train.amp.enabled = True
train.checkpointer.max_to_keep = 2
