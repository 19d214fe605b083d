from omegaconf import OmegaConf

from eva_engine.config import TRAIN_SETTINGS

# All keys, their meaning and their defaults: eva_engine/config/train_settings.py
train = OmegaConf.create(TRAIN_SETTINGS)
# Keep train.accumulation_steps at 1 if memory allows: negatives come from the same micro-batch only, so gradient
# accumulation averages over several small contrastive problems instead of solving a large one.
train.accumulation_steps = 1
train.amp.enabled = True
train.checkpointer.max_to_keep = 2
