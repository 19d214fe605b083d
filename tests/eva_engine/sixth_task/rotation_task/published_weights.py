"""The published weight files of the made-up task."""

from eva_engine.published_weights.table import PublishedFile

FILES = (PublishedFile("weights/rotation_tiny.pth", "example/rotation", licence="MIT", size="60 kB"),)
