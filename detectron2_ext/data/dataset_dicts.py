"""Looking up registered data sets by name, with one sentence where Detectron2 would fail far from the cause."""

from weakref import WeakValueDictionary

from detectron2.data import DatasetCatalog, get_detection_dataset_dicts

from eva_backbone.errors import InputError
from eva_engine.config.registered_datasets import check_registered


class DatasetDicts(list):
    """A list that can be referred to weakly."""

    __slots__ = ("__weakref__",)


_loaded: WeakValueDictionary = WeakValueDictionary()


def get_dataset_dicts(names: str | list[str], filter_empty: bool = True) -> list[dict]:
    """Detectron2 dataset dicts of registered data sets, one after the other; a LazyConfig target.

    In a LazyConfig a sampler refers to ``${dataloader.train.dataset}``, which would load the data set a second time;
    a list still in use is returned again instead.

    Args:
        filter_empty: leave out images that have no annotation besides crowd regions.

    Raises:
        InputError: unknown name, missing annotation file, or no image left.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        check_registered(name)
    key = (tuple((name, id(DatasetCatalog[name])) for name in wanted), filter_empty)
    dicts = _loaded.get(key)
    if dicts is None:
        try:
            dicts = DatasetDicts(get_detection_dataset_dicts(wanted, filter_empty=filter_empty))
        except AssertionError as error:  # how Detectron2 tells of an empty list, or of an unknown class
            problem = str(error).strip().rstrip(".!")
            raise InputError(f"Data set {' + '.join(wanted)}: {problem}; check its annotation file.") from error
        _loaded[key] = dicts
    return dicts
