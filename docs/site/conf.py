"""Settings of the site, which Sphinx builds from the pages of the repository: `make docs`."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

project = "EVA Vision"
author = "The EVA Vision authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "reference_pages"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md", "datasets/README.md", "benchmarks/*.md"]

html_theme = "furo"
html_title = f"EVA Vision {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["index.html"]  # leads from the address of the site to its first page
html_show_sphinx = False
html_show_copyright = False

myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # pages for GitHub may begin with a second-level heading

smartquotes = False  # they would turn the dashes of options into one
default_role = "code"  # docstrings mark names by single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the attributes that a docstring lists are also members
