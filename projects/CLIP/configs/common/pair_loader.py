from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_clip import get_tokenizer
from eva_clip.data import PairCollate, ShardDataset, TrainingMapper
from eva_clip.transforms import training_transform
from eva_engine.data import build_train_loader, dataset_root

dataloader = OmegaConf.create(flags={"allow_objects": True})
# Turn images as their EXIF tags say, in training, evaluation and `predict`. The recipes of published results set it to
# false, because these were measured on images as they are stored.
dataloader.apply_exif_orientation = True

dataloader.train = L(build_train_loader)(
    # Tar shards. For a caption file (.csv, .tsv, .json, .jsonl) use CaptionDataset with `file` and `root`.
    dataset=L(ShardDataset)(shards=f"{dataset_root()}/laion400m/{{00000..41455}}.tar", on_error="skip"),
    mapper=L(TrainingMapper)(
        # scale: fraction of the image's area that a crop covers.
        transform=L(training_transform)(size="${model.visual.img_size}", scale=(0.9, 1.0)),
        tokenizer=L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}"),
        # "skip" logs and counts unreadable pairs, and draws other pairs instead.
        on_error="skip",
        apply_exif_orientation="${dataloader.apply_exif_orientation}",
    ),
    collate=L(PairCollate)(),
    aspect_ratio_grouping=False,
    # Pairs per iteration over all processes; all other pairs are the negatives of a pair.
    total_batch_size=40960,
    num_workers=8,
    prefetch_factor=8,
)
# Recipes with an evaluation set dataloader.test and dataloader.evaluator. null: no evaluation during training.
dataloader.evaluator = None
