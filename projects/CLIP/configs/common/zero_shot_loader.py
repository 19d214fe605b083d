from detectron2.config import LazyCall as L
from eva_clip.data.feature_loader import zero_shot_loader

from eva_classification.data import ImageDataset, ImageMapper
from eva_clip import get_tokenizer
from eva_clip.transforms import evaluation_transform
from eva_engine.data import dataset_root

test = L(zero_shot_loader)(
    dataset=L(ImageDataset)(
        root=f"{dataset_root()}/imagenet",
        split="val",
        # From folder name to class number, see ImageDataset. null: the order of the folders.
        class_map="imagenet",
    ),
    mapper=L(ImageMapper)(
        # The shorter side becomes img_size pixels, of which the centre is kept.
        transform=L(evaluation_transform)(size="${model.visual.img_size}"),
        is_train=False,
        # "skip" counts an image that cannot be read as wrong.
        on_error="stop",
    ),
    # In the order of the class numbers: "imagenet", "imagenet_a", "imagenet_r", "folders" for their names, a text file
    # with one a line, or a list.
    class_names="imagenet",
    # "imagenet_80", "imagenet_7", a .txt file with one a line, a sentence with {} in the place of the class, or a list.
    templates="imagenet_80",
    tokenizer=L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}"),
    batch_size=64,
    # Prompts at once.
    text_batch_size=256,
    num_workers=8,
)
