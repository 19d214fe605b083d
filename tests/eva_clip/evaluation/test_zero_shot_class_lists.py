"""Names for zero-shot classification are in the order of the image folders, or refused."""

from pathlib import Path

import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_classification.data import ImageDataset
from eva_clip.evaluation.class_names import check_names_of_folders


def dataset(root: Path, *folders: str, **options: object) -> ImageDataset:
    for folder in folders:
        (root / folder).mkdir()
        Image.new("RGB", (8, 8)).save(root / folder / "0.png")
    return ImageDataset(str(root), **options)


@pytest.mark.parametrize("names", [["ape", "sea lion"], ["Affe", "Seelöwe"], ["ape", "Sea_Lion"]])
def test_names_in_the_order_of_the_folders(tmp_path, names):
    check_names_of_folders(dataset(tmp_path, "ape", "sea_lion"), names)


def test_a_class_map_defines_other_numbers(tmp_path):
    folders = {"bird_crane": 0, "crane": 2}
    check_names_of_folders(dataset(tmp_path, *folders, class_map=folders), ["crane", "dog", "crane"])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["sea lion", "ape"], "'ape' is class 0 in the image folders, but class 1 in the list of names"),
        (["Affe", "Katze", "Seelöwe"], "there are 3 class names, but 2 image folders"),
    ],
)
def test_other_names_are_refused(tmp_path, names, sentence):
    with pytest.raises(InputError, match=sentence):
        check_names_of_folders(dataset(tmp_path, "ape", "sea_lion"), names)


def test_a_class_without_images_needs_a_class_map(tmp_path):
    records = dataset(tmp_path, "ape", "sea_lion", class_map=["ape", "cat", "sea_lion"])
    check_names_of_folders(records, ["Affe", "Katze", "Seelöwe"])
