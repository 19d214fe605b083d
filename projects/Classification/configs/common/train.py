from omegaconf import OmegaConf

from detectron2_ext.engine.recipe import TRAIN_SETTINGS

# Every key, its meaning and its default: detectron2_ext/engine/recipe/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
train.amp.enabled = True
train.checkpointer.max_to_keep = 2
