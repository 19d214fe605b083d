"""Readers of annotation formats; each module has a NAME, `recognise(files)` and `read(files, options)`."""
