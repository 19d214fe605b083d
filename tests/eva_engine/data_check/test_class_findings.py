"""Missing, rare, unequal and similarly named classes are found."""

import pytest

from eva_engine.data_check.class_findings import check_classes

CLEAN = {"cat": 20, "dog": 30}


def _findings(training: dict, validation: dict | None = None) -> dict:
    counts = {"training": training} | ({} if validation is None else {"validation": validation})
    return {finding.code: finding for finding in check_classes(counts, "objects")}


@pytest.mark.parametrize("validation", [None, {"cat": 1, "dog": 2}])
def test_nothing_in_classes_without_flaw(validation):
    assert _findings(CLEAN, validation) == {}


@pytest.mark.parametrize(
    ("training", "validation", "code", "severity", "what"),
    [
        (CLEAN | {"cow": 0}, CLEAN | {"cow": 0}, "empty-classes", "warning", "1 of 3 classes have no objects: cow"),
        (
            CLEAN,
            {"cat": 1, "dog": 0},
            "not-validated",
            "warning",
            "1 classes with training objects have none in validation: dog",
        ),
        (
            CLEAN,
            CLEAN | {"cow": 2},
            "not-trained",
            "error",
            "1 classes of the validation data have no training objects: cow",
        ),
        ({"cat": 20, "dog": 9}, CLEAN, "rare-classes", "note", "1 classes have fewer than 10 training objects: dog"),
        (
            {"cat": 20, "dog": 2001},
            CLEAN,
            "imbalance",
            "note",
            "the class 'dog' has 100 times as many objects as 'cat'",
        ),
        (
            {"cat": 20, "Cat ": 20},
            {"cat": 1, "Cat ": 1},
            "similar-names",
            "warning",
            "1 pairs of class names differ only in case or punctuation, such as 'cat' and 'Cat '",
        ),
    ],
)
def test_flaws(training, validation, code, severity, what):
    (finding,) = _findings(training, validation).values()
    assert (finding.code, finding.severity, finding.what) == (code, severity, what)


def test_many_names_are_cut():
    (finding,) = _findings(dict.fromkeys(map(str, range(100, 130)), 0) | CLEAN).values()
    assert finding.what.endswith("108, 109 and 20 more")
