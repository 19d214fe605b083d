from eva_engine.data import dataset_root

from .retrieval_coco import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

# The 1,000 images of Karpathy's test split.
dataloader.test.dataset.update(
    file=f"{dataset_root()}/flickr30k/dataset_flickr30k.json", root=f"{dataset_root()}/flickr30k/flickr30k-images"
)
