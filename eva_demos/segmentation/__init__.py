"""Nuclei and bacteria in microscope images, labelled pixel by pixel."""
