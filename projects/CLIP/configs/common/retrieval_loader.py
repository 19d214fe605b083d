from detectron2.config import LazyCall as L

from eva_clip import get_tokenizer
from eva_clip.data.eval_loaders import build_retrieval_loader
from eva_clip.data.retrieval_dataset import RetrievalDataset
from eva_engine.data import dataset_root

from .zero_shot_loader import test as zero_shot

test = L(build_retrieval_loader)(
    # A file of Karpathy's splits or of COCO captions, or a .csv, .tsv or .jsonl file.
    dataset=L(RetrievalDataset)(
        file=f"{dataset_root()}/coco/annotations/dataset_coco.json",
        root=f"{dataset_root()}/coco",
        split="test",
        # null: all captions of an image.
        captions_per_image=None,
    ),
    mapper=zero_shot.mapper,
    tokenizer=L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}"),
    batch_size=64,
    text_batch_size=256,
    num_workers=8,
)
