"""Commands of semantic segmentation."""
