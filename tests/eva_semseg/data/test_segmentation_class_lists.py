"""All label maps of a run have the classes of its list, which is stored and used in every verb."""

import pytest
from omegaconf import DictConfig
from synthetic_labels import write_pairs
from tiny_semseg_recipe import tiny_recipe

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names, save_categories, settle_class_list
from eva_semseg.data.label_folders import pair_files
from eva_semseg.prediction import find_class_names


def recipe(folder, train: object = ("sky", "road"), test: object = ("sky", "road")) -> DictConfig:
    cfg = tiny_recipe(folder)
    cfg.dataloader.train.dataset.class_names = train if isinstance(train, str) else list(train)
    cfg.dataloader.test.dataset.class_names = list(test)
    return cfg


def test_the_list_is_stored_and_used_without_its_file(tmp_path):
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    cfg = recipe(tmp_path, str(tmp_path / "classes.txt"))
    settle_class_list(cfg, training=True)
    save_categories(cfg, tmp_path)
    (tmp_path / "classes.txt").unlink()
    assert list(cfg.dataloader.train.dataset.class_names) == ["sky", "road"]
    weights = tmp_path / "model_final.pth"
    other = recipe(tmp_path, str(tmp_path / "classes.txt"))
    assert find_class_names(cfg, 2) == find_class_names(other, 2, weights) == ("sky", "road")
    assert match_given_names(["Himmel", "Weg"], 2, other, weights) == ("Himmel", "Weg")
    with pytest.raises(InputError, match="has 'road' as class 0, which is 'sky' in"):
        match_given_names(["road", "sky"], 2, other, weights)

    evaluated = recipe(tmp_path, test=("road", "sky"))
    evaluated.train.init_checkpoint = str(weights)
    with pytest.raises(InputError, match=r"class 0 of .* is 'road', but 'sky' in the class list of the training"):
        settle_class_list(evaluated, training=False)


@pytest.mark.parametrize("test", [("road", "sky"), ("sky", "street")])
def test_another_list_for_the_validation_data_is_refused(tmp_path, test):
    with pytest.raises(InputError, match="in the class list of the training; give both the same list"):
        settle_class_list(recipe(tmp_path, test=test), training=True)


def test_all_image_suffixes_are_read_and_hidden_files_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    folders = write_pairs(tmp_path, ["a", "b", "._c", ".ipynb_checkpoints/a", "__MACOSX/a"])
    (tmp_path / "images/b.jpg").rename(tmp_path / "images/b.jfif")
    (tmp_path / "images/notes.txt").touch()
    assert [record["file_name"][-6:] for record in pair_files(**folders)] == ["/a.jpg", "b.jfif"]
    assert "2 hidden folders, 1 hidden files, 1 files of other kinds" in caplog.text
