from detectron2.config import LazyCall as L
from eva_clip.data.feature_loader import retrieval_loader

from eva_clip import get_tokenizer
from eva_clip.data.retrieval_dataset import CaptionedImages
from eva_engine.data import dataset_root

from .zero_shot_loader import test as zero_shot

test = L(retrieval_loader)(
    # Karpathy's split, or captions in COCO's layout, .csv, .tsv, .jsonl.
    dataset=L(CaptionedImages)(
        file=f"{dataset_root()}/coco/annotations/dataset_coco.json",
        root=f"{dataset_root()}/coco",
        split="test",
        # null: all captions of an image count.
        captions_per_image=None,
    ),
    mapper=zero_shot.mapper,
    tokenizer=L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}"),
    batch_size=64,
    text_batch_size=256,
    num_workers=8,
)
