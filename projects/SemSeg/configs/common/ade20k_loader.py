from .coco_stuff_loader import dataloader

# Detectron2 registers these datasets; its datasets/prepare_ade20k_sem_seg.py writes the label maps.
dataloader.train.dataset.names = "ade20k_sem_seg_train"
dataloader.test.dataset.names = "ade20k_sem_seg_val"
