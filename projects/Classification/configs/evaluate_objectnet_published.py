from projects.Classification.configs.common.models.eva_giant import model
from projects.Classification.configs.evaluate_objectnet import dataloader
from projects.Classification.configs.in1k_336 import lr_multiplier, optimizer, train

dataloader.test.mapper.border = 0
