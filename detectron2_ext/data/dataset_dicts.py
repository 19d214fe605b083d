"""Look up registered datasets by name, with a clear message where Detectron2 would fail far from the cause."""

from weakref import WeakValueDictionary

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts

from eva_backbone.errors import InputError
from eva_engine.config.registered_datasets import check_registered

from .image_paths import check_inside


class DatasetDicts(list):
    """List that supports weak references."""

    __slots__ = ("__weakref__",)


_loaded: WeakValueDictionary = WeakValueDictionary()


def get_dataset_dicts(names: str | list[str], filter_empty: bool = True) -> list[dict]:
    """Return the concatenated Detectron2 dataset dicts of registered datasets; a LazyConfig target.

    In a LazyConfig a sampler refers to `${dataloader.train.dataset}`, which would load the dataset a second time; a
    list that is still in use is returned again instead.

    Args:
        names: One or more registered names.
        filter_empty: Leave out images whose only annotations are crowd regions, or that have none.

    Raises:
        InputError: A name is unknown, an annotation file is missing or names an image outside of its folder, or no
            image is left.
    """
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        check_registered(name)
    # The id of the loader distinguishes a dataset from an earlier one of the same name.
    key = (tuple((name, id(DatasetCatalog[name])) for name in names), filter_empty)
    dicts = _loaded.get(key)
    if dicts is None:
        try:
            dicts = DatasetDicts(get_detection_dataset_dicts(names, filter_empty=filter_empty))
        except AssertionError as error:  # Detectron2's error for an empty list or an unknown class
            problem = str(error).strip().rstrip(".!")
            raise InputError(f"Dataset {' + '.join(names)}: {problem}; check its annotation file.") from error
        metadata = [MetadataCatalog.get(name) for name in names]
        if all(item.get("json_file") for item in metadata):  # otherwise the records are made by code
            folders = [item.get("image_root") or "" for item in metadata]
            for record in dicts:
                check_inside(record["file_name"], folders, " + ".join(names))
        _loaded[key] = dicts
    return dicts
