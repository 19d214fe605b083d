"""The command of semantic segmentation that is its own: its demo."""
