"""The options --train-data and --val-data of EVA-CLIP."""

from pathlib import Path

import pytest
from detectron2.config import instantiate
from synthetic_pairs import pair_members, write_images, write_shard

from eva_backbone.errors import InputError
from eva_clip.custom_data import PairData
from eva_engine.config import load_config

CONFIGS = Path(__file__).parents[2] / "projects/CLIP/configs"


@pytest.mark.parametrize("recipe", ["eva_clip_g14", "eva_clip_g14_captions"])
def test_tables_and_shards(tmp_path, recipe):
    write_images(tmp_path / "photos", 3)
    (tmp_path / "photos/captions.csv").write_text("image,caption\n0.png,red\n1.png,green\n")
    write_shard(tmp_path / "shards/0.tar", pair_members(range(4)))
    write_shard(tmp_path / "shards/1.tar", pair_members(range(4, 7)))
    for source, number in (("photos/captions.csv", 2), ("shards", 7), ("shards/0.tar", 4)):
        cfg = load_config(str(CONFIGS / f"{recipe}.py"))
        PairData(str(tmp_path / source), None).apply(cfg, training=True)
        assert len(instantiate(cfg.dataloader.train.dataset)) == number
    with pytest.raises(InputError, match="has no tar files of pairs"):
        PairData(str(tmp_path / "photos"), None).apply(cfg, training=True)
    with pytest.raises(InputError, match="this recipe has no zero-shot classification"):
        PairData(str(tmp_path / "shards"), str(tmp_path)).apply(cfg, training=True)


def test_folders_of_classes(tmp_path):
    for name in ("ant", "bee"):
        write_images(tmp_path / name, 2)
    cfg = load_config(str(CONFIGS / "zero_shot_in1k.py"))
    PairData(None, str(tmp_path)).apply(cfg, training=False)
    dataset = instantiate(cfg.dataloader.test.dataset)
    assert (len(dataset), dataset.class_numbers) == (4, {"ant": 0, "bee": 1})
    assert cfg.dataloader.test.class_names == "folders"
