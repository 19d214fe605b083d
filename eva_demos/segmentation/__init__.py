"""Semantic segmentation of nuclei and bacteria in microscope images."""
