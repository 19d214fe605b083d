from .coco_stuff_loader import dataloader

# Registered by Detectron2, whose datasets/prepare_ade20k_sem_seg.py makes the label maps.
dataloader.train.dataset.names = "ade20k_sem_seg_train"
dataloader.test.dataset.names = "ade20k_sem_seg_val"
