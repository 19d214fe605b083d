"""Import annotations of other tools: detected by content, checked, and converted to COCO JSON."""

from .imported_data import ImportedData, ImportOptions
from .reading import read_data

__all__ = ["ImportOptions", "ImportedData", "read_data"]
