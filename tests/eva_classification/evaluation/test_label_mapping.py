"""Label mappings of ImageNet-ReaL and ObjectNet."""

import json

import pytest

from eva_backbone.errors import InputError
from eva_classification.evaluation import LabelMapping, ObjectNetLabels, RealLabels, label_mapping


def test_the_label_by_default():
    assert LabelMapping().correct_classes(7, "any.png") == (7,)


def test_real_labels_of_timm():
    mapping = RealLabels()
    assert len(mapping.labels) == 50_000
    assert sum(not labels for labels in mapping.labels) == 3_163
    assert sum(map(len, mapping.labels)) == 57_553


def test_real_labels_go_by_the_number_in_the_name(tmp_path):
    (tmp_path / "real.json").write_text(json.dumps([[3], [], [1, 5]]))
    mapping = RealLabels(str(tmp_path / "real.json"))
    names = [f"/data/val/n01440764/ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2, 3)]
    assert [mapping.correct_classes(0, name) for name in names] == [(3,), (), (1, 5)]
    assert mapping.correct_classes(0, "ILSVRC2012_val_00000003_n01440764.JPEG") == (1, 5)
    for name in ("cat.png", "ILSVRC2012_val_00000004.JPEG", "ILSVRC2012_val_00000000.JPEG"):
        with pytest.raises(InputError, match="is not one of the 3 labelled validation images"):
            mapping.correct_classes(0, name)


@pytest.mark.parametrize("content", [None, "[1, 2]", "{"])
def test_bad_files_of_real_labels(tmp_path, content):
    if content is not None:
        (tmp_path / "real.json").write_text(content)
    with pytest.raises(InputError, match=r"real\.json is not a JSON list of lists"):
        RealLabels(str(tmp_path / "real.json"))


def test_objectnet_accepts_all_classes_or_the_first(monkeypatch):
    monkeypatch.setattr(label_mapping, "read_objectnet", lambda _root: {"alarm_clock": (530, 409), "bench": (703,)})
    assert [ObjectNetLabels("objectnet").correct_classes(label, "") for label in (0, 1)] == [(530, 409), (703,)]
    assert [ObjectNetLabels("objectnet", first_only=True).correct_classes(label, "") for label in (0, 1)] == [
        (530,),
        (703,),
    ]
    assert ObjectNetLabels("objectnet").correct_classes(-1, "") == (-1,)
