"""Cell nuclei in microscope images."""
