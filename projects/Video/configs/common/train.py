from omegaconf import OmegaConf

from detectron2_ext.engine.recipe import TRAIN_SETTINGS

# Every key, its meaning and its default: detectron2_ext/engine/recipe/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
train.amp.enabled = True
train.activation_checkpointing = "torch"
train.seed = 1024
train.log_period = 10
train.checkpointer.update(max_to_keep=2, best_metric="accuracy/top1")
