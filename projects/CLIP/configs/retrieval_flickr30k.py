from eva_engine.data import dataset_root
from projects.CLIP.configs.eva_clip_g14 import lr_multiplier, model, optimizer, train
from projects.CLIP.configs.retrieval_coco import dataloader

# 1,000 images of Karpathy's test split.
dataloader.test.dataset.update(
    file=f"{dataset_root()}/flickr30k/dataset_flickr30k.json", root=f"{dataset_root()}/flickr30k/flickr30k-images"
)
