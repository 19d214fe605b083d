from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# Every key, its meaning and its default: eva_engine/config/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
# Keep train.accumulation_steps at 1 where memory allows: negatives of a pair come from its own part of the batch only,
# so that N parts are N batches of a smaller contrastive problem, not the large one.
train.accumulation_steps = 1
train.amp.enabled = True
train.checkpointer.max_to_keep = 2
