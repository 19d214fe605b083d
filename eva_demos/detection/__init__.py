"""Detection demo: cell nuclei in microscope images."""
