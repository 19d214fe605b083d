"""Recipes of the projects, read once, and their models on the meta device."""

import copy
from functools import cache

import torch
from detectron2.config import instantiate

from eva_engine.config import load_config


@cache
def read_recipe(path):
    """Return a recipe that no test may change."""
    return load_config(str(path))


def load_recipe(path):
    """Return a recipe that a test may change."""
    return copy.deepcopy(read_recipe(path))


def build_on_meta(cfg):
    if "teacher" in cfg.model:
        cfg.model.teacher = None
    with torch.device("meta"):
        return instantiate(cfg.model)
