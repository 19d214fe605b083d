"""Commands for image classification."""
