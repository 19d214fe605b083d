"""Repeat-factor sampling in a LazyConfig; its factors are checked by the golden case `misc`."""

from types import SimpleNamespace

from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog
from detectron2.data.samplers import RepeatFactorTrainingSampler
from omegaconf import OmegaConf

from detectron2_ext.data import get_dataset_dicts


def test_a_recipe_loads_its_dataset_once(dataset_name):
    """The sampler of a LazyConfig refers to the dataset, which `instantiate` builds again for every reference."""
    loads = []

    def load() -> list[dict]:
        loads.append(1)
        return [{"annotations": [{"category_id": int(i == 0), "iscrowd": 0}]} for i in range(100)]

    DatasetCatalog.register(dataset_name, load)
    loader = L(SimpleNamespace)(
        dataset=L(get_dataset_dicts)(names=dataset_name),
        sampler=L(RepeatFactorTrainingSampler)(
            repeat_factors=L(RepeatFactorTrainingSampler.repeat_factors_from_category_frequency)(
                dataset_dicts="${loader.dataset}", repeat_thresh=0.04
            ),
            seed=0,
        ),
    )
    built = instantiate(OmegaConf.create({"loader": loader}, flags={"allow_objects": True}).loader)
    assert len(built.dataset) == 100
    assert len(loads) == 1
    indices = iter(built.sampler)
    drawn = [next(indices) for _ in range(1010)]
    assert 15 <= drawn.count(0) <= 25  # the image of the rare class: sqrt(0.04 / 0.01) = 2 times an epoch of 101
