"""Class names and ids of custom data in the config of a run."""

from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from detectron2_ext.data.coco_file import is_id
from eva_backbone.errors import InputError
from eva_engine.config.literal_strings import from_literal, to_literal


def store_categories(cfg: DictConfig, categories: Mapping[int, str]) -> None:
    """Set `cfg.dataloader.categories` to {category id: class name}, in the order of the model's classes."""
    cfg.dataloader.categories = [{"id": i, "name": to_literal(name)} for i, name in categories.items()]


def stored_categories(cfg: DictConfig) -> dict[int, str] | None:
    """Return {category id: class name} from `cfg.dataloader.categories`, or None if the config has none.

    Raises:
        InputError: The entry is not what `store_categories` writes.
    """
    node = OmegaConf.select(cfg, "dataloader.categories", default=None)
    if not node:
        return None
    categories = {}
    for item in OmegaConf.to_container(node) if OmegaConf.is_list(node) else [node]:
        category_id, name = (item.get("id"), item.get("name")) if isinstance(item, dict) else (None, None)
        if not is_id(category_id) or not isinstance(name, str) or category_id in categories:
            raise InputError(
                "dataloader.categories of the config is not a list of categories with distinct ids and names; "
                "use the config.yaml that training wrote."
            )
        categories[category_id] = from_literal(name)
    return categories
