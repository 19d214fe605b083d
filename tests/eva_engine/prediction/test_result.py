"""The surface that the results of all tasks share, on classes of an image."""

import pickle
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from eva_backbone.errors import InputError
from eva_engine.prediction.result import Result


@dataclass(eq=False, repr=False, kw_only=True)
class Scores(Result):
    def summary(self) -> str:
        return ", ".join(self.class_names[index] for index in self.class_ids.tolist())

    def records(self) -> list[dict]:
        return [{"name": self.class_names[index]} for index in self.class_ids.tolist()]

    def to_dict(self) -> dict:
        return {"image": self.path, "classes": self.records()}

    def _draw(self, image: np.ndarray) -> np.ndarray:
        return 255 - image


@pytest.fixture
def result() -> Scores:
    return Scores(
        path="a.png",
        image=np.zeros((4, 5, 3), np.uint8),
        class_names=("cat", "dog"),
        class_ids=np.array([1, 0]),
        scores=np.array([0.75, 0.25], np.float32),
    )


def test_text(result):
    assert repr(result) == "Scores(a.png: dog, cat)"
    result.path, result.frame, result.time = "", 3, 0.125
    assert repr(result) == "Scores(image at 0.12 s: dog, cat)"
    assert len(result) == 2
    assert result.reached_limits == ()


def test_pickle(result):
    copy = pickle.loads(pickle.dumps(result))
    assert copy.to_dict() == result.to_dict()
    np.testing.assert_array_equal(np.asarray(copy.plot()), np.full((4, 5, 3), 255))


def test_supervision(result):
    supervision = pytest.importorskip("supervision")
    found = result.to_supervision()
    assert isinstance(found, supervision.Classifications)
    assert found.class_id.tolist() == [1, 0]
    assert found.confidence.tolist() == [0.75, 0.25]


@pytest.mark.parametrize(("package", "method"), [("supervision", "to_supervision"), ("pandas", "to_pandas")])
def test_a_missing_package_is_named(result, monkeypatch, package, method):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"{method} needs {package}: pip install {package}"):
        getattr(result, method)()


def test_classes_have_no_coco_format(result):
    with pytest.raises(InputError, match="use to_dict or to_pandas"):
        result.to_coco(1)


def test_without_its_image_nothing_is_drawn(result):
    with pytest.raises(InputError, match="keep_images=True"):
        result.without_image().plot()
