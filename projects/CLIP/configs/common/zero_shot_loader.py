from detectron2.config import LazyCall as L

from eva_classification.data import EvaluationMapper, ImageDataset
from eva_clip import get_tokenizer
from eva_clip.data.eval_loaders import build_zero_shot_loader
from eva_clip.transforms import evaluation_transform
from eva_engine.data import dataset_root

test = L(build_zero_shot_loader)(
    dataset=L(ImageDataset)(
        root=f"{dataset_root()}/imagenet",
        split="val",
        # Class numbers by folder name, see ImageDataset. null: numbered in the order of the folders.
        class_map="imagenet",
    ),
    mapper=L(EvaluationMapper)(
        # Resize the shorter side to img_size pixels and crop the centre.
        transform=L(evaluation_transform)(size="${model.visual.img_size}"),
        # "skip" counts unreadable images as wrong.
        on_error="stop",
        apply_exif_orientation="${dataloader.apply_exif_orientation}",
    ),
    # Class names in the order of the class numbers: "imagenet", "imagenet_a", "imagenet_r", "folders" for the folder
    # names, a text file with one name per line, or a list.
    class_names="imagenet",
    # "imagenet_80", "imagenet_7", a .txt file with one template per line, a template with {} for the class name, or a
    # list of templates.
    templates="imagenet_80",
    tokenizer=L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}"),
    batch_size=64,
    # Prompts per batch.
    text_batch_size=256,
    num_workers=8,
)
