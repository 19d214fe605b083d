"""The evaluation that a page explains, with its images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.diagnosis import Diagnosis


@dataclass(frozen=True)
class Explained:
    """What an explanation is made from.

    Attributes:
        diagnosis: The evaluated boxes.
        names: Class names, in the order of the categories.
        results: All detections in COCO's format with the ids of the dataset, possibly with masks.
        files: Image file by the number of the image in the ground truth; images that are not here are not drawn.
        mask_ap: AP of the masks in percent by class name, empty without masks.
    """

    diagnosis: Diagnosis
    names: list[str]
    results: list[dict]
    files: Mapping[int, str]
    mask_ap: Mapping[str, float]

    def image_name(self, image_number: int) -> str:
        """Return the file of an image with its folder, or its id; the full path would not help other readers."""
        if image_number in self.files:
            return "/".join(Path(self.files[image_number]).parts[-2:])
        return f"image {list(self.diagnosis.truth.image_numbers)[image_number - 1]}"

    def detections(self, image_numbers: set[int]) -> dict[int, list[dict]]:
        """Return the results of images by their number; those of unknown categories are left out."""
        truth = self.diagnosis.truth
        found: dict[int, list[dict]] = {number: [] for number in image_numbers}
        for result in self.results:
            number = truth.image_numbers[result["image_id"]]
            category = truth.category_numbers.get(result["category_id"])
            if number in found and category is not None:
                found[number].append({**result, "category_id": category})
        return found

    def objects(self, image_number: int) -> list[dict]:
        """Return the annotations of an image, without crowds."""
        annotations = self.diagnosis.truth.annotations
        return [record for record in annotations if record["image_id"] == image_number and not record["iscrowd"]]
