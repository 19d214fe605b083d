"""Handwritten digits with captions."""
