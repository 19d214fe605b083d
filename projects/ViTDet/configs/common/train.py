from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# All keys with their meaning and default are in eva_engine/config/train_settings.py.
train = OmegaConf.create(TRAIN_SETTINGS)
