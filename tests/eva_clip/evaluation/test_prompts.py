"""Class names, templates and the prompts that they form."""

import hashlib

import pytest

from eva_backbone.errors import InputError
from eva_clip.evaluation import read_class_names, read_templates
from eva_clip.evaluation.prompts import ClassPrompts


def digest(lines) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_the_published_lists():
    """Published results depend on every character of the lists."""
    assert digest(read_templates("imagenet_80")) == "4f976686fb651bb5"
    assert digest(read_templates("imagenet_7")) == "6ef3883987d224b7"
    names = read_class_names("imagenet")
    assert digest(names) == "571ae1c583b4be7d"
    assert len(names) == 1000


@pytest.mark.parametrize(("subset", "first"), [("imagenet_a", "stingray"), ("imagenet_r", "goldfish")])
def test_class_names_of_imagenet_subsets(subset, first):
    names = read_class_names(subset)
    assert len(names) == 200
    assert names[0] == first


def test_prompts_are_class_by_class():
    prompts = ClassPrompts(["cat", "{x} dog"], ["a {}.", "{} of {1}"])
    assert list(prompts) == [("a cat.", 0), ("cat of {1}", 0), ("a {x} dog.", 1), ("{x} dog of {1}", 1)]
    assert [texts for texts, _ in prompts.batches(3)] == [["a cat.", "cat of {1}", "a {x} dog."], ["{x} dog of {1}"]]


def test_files(tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffKatze\n  狐 \n\n", encoding="utf-8")
    (tmp_path / "templates.txt").write_text("ein Bild: {}\n{}!\n", encoding="utf-8")
    prompts = ClassPrompts(str(tmp_path / "names.txt"), str(tmp_path / "templates.txt"))
    assert [text for text, _ in prompts] == ["ein Bild: Katze", "Katze!", "ein Bild: 狐", "狐!"]
    assert read_templates("one {}") == ("one {}",)


@pytest.mark.parametrize(
    ("names", "templates", "message"),
    [
        (["a", " "], ["{}"], "name of class 1 is ' '"),
        ([], ["{}"], "the list of class names is empty"),
        ("nowhere.txt", ["{}"], "nowhere.txt: no such list of names"),
        (["a"], [], "no template"),
        (["a"], ["{}", "photo"], "the template 'photo' has no {}"),
        (["a"], "imagenet_8", "'imagenet_8' is not a list of templates"),
        (["a"], "nowhere.txt", "nowhere.txt: no such list of templates"),
    ],
)
def test_unusable_names_and_templates(names, templates, message):
    with pytest.raises(InputError) as error:
        ClassPrompts(names, templates)
    assert message in str(error.value)
