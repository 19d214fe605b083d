"""Shared code of the scripts: measuring, recording figures, running all scripts, and writing the page."""
