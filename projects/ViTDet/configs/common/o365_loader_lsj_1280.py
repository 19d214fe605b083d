from .coco_loader_lsj_1280 import dataloader

# The validation images are trained on too, as EVA-02 does.
dataloader.train.dataset.names = ["objects365_train", "objects365_val"]
dataloader.train.total_batch_size = 128
# No masks: a crop only clips the boxes.
dataloader.train.mapper.use_instance_mask = False
dataloader.train.mapper.recompute_boxes = False
dataloader.test.dataset.names = "objects365_val"
