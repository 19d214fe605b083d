"""Names of the folders and files in which people keep the training, validation and test parts of a dataset."""

import re

_SPLITS = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "te"),
    "trainval": ("trainval",),  # stands for neither of the two
}
SPLIT_WORDS = {word: split for split, words in _SPLITS.items() for word in words}
_FILLER = r"(?:images?|imgs?|photos?|data|dataset|set|split)"
# "train", "Training", "train_images", "images-train", "train2017", "TestSet".
_SPLIT_NAME = re.compile(rf"(?:{_FILLER}[\W\d_]+)?({'|'.join(SPLIT_WORDS)})(?:[\W\d_]*{_FILLER})*[\W\d_]*", re.I)


def split_of(name: str) -> str | None:
    """Return the split that a folder name stands for, "train", "val", "test" or "trainval"; None for other names."""
    match = _SPLIT_NAME.fullmatch(re.sub(r"train[\W_]+val", "trainval", name, flags=re.I))
    return SPLIT_WORDS[match[1].lower()] if match else None
