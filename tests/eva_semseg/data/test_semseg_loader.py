"""The loader of evaluations."""

from pathlib import Path

import pytest
from synthetic_labels import write_pairs

from eva_backbone.errors import InputError
from eva_engine.data import EvalLoader
from eva_semseg.data import EvaluationMapper, SegmentationDataset, TestTimeAugmentation


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_come_one_by_one_and_a_bad_one_ends_in_its_sentence(tmp_path, num_workers) -> None:
    records = SegmentationDataset(**write_pairs(tmp_path, ["a", "b"]), class_names=["a", "b", "c"])
    (tmp_path / "images/b.jpg").write_bytes(b"no picture")
    loader = EvalLoader(records, mapper=EvaluationMapper(TestTimeAugmentation(32, 32)), num_workers=num_workers)
    assert len(loader) == len(loader.dataset) == 2
    images = iter(loader)
    (image,) = next(images)
    assert Path(image["file_name"]).name == "a.jpg"
    assert (image["height"], image["width"]) == (20, 30)
    with pytest.raises(InputError) as told:
        next(images)
    assert str(told.value).startswith(records[1]["file_name"])
    assert "\n" not in str(told.value)
