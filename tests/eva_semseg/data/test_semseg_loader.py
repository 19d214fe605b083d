"""The evaluation loader with segmentation data."""

from pathlib import Path

import pytest
from synthetic_labels import write_pairs

from eva_backbone.errors import InputError
from eva_engine.data import EvalLoader
from eva_semseg.data import EvaluationMapper, SegmentationDataset, TestTimeAugmentation


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_are_loaded_one_by_one_and_a_bad_one_raises_one_sentence(tmp_path, num_workers) -> None:
    records = SegmentationDataset(**write_pairs(tmp_path, ["a", "b"]), class_names=["a", "b", "c"])
    (tmp_path / "images/b.jpg").write_bytes(b"not an image")
    loader = EvalLoader(records, mapper=EvaluationMapper(TestTimeAugmentation(32, 32)), num_workers=num_workers)
    assert len(loader) == len(loader.dataset) == 2
    images = iter(loader)
    (image,) = next(images)
    assert Path(image["file_name"]).name == "a.jpg"
    assert (image["height"], image["width"]) == (20, 30)
    with pytest.raises(InputError) as raised:
        next(images)
    assert str(raised.value).startswith(records[1]["file_name"])
    assert "\n" not in str(raised.value)
