from .coco_loader_lsj_1280 import dataloader

# The validation images are part of the training set, as in EVA-02.
dataloader.train.dataset.names = ["objects365_train", "objects365_val"]
dataloader.train.total_batch_size = 128
# The dataset has no masks, so a crop clips the boxes.
dataloader.train.mapper.use_instance_mask = False
dataloader.train.mapper.recompute_boxes = False
dataloader.test.dataset.names = "objects365_val"
