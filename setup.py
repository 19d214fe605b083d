"""Map projects/, which is next to the packages in a checkout, to eva_engine.projects in an installed package."""

from setuptools import find_namespace_packages, setup

RECIPES = "eva_engine.projects"
ours = find_namespace_packages(include=["detectron2_ext*", "eva_*"], exclude=["*__pycache__*", "*.egg-info"])
recipes = find_namespace_packages("projects", exclude=["*__pycache__*"])

setup(packages=[*ours, RECIPES, *(f"{RECIPES}.{name}" for name in recipes)], package_dir={RECIPES: "projects"})
