"""Exported models: write them, prove that they compute the same, and use them in place of a model of PyTorch."""
