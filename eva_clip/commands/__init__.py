"""Commands that prepare and convert EVA-CLIP's weight files."""
