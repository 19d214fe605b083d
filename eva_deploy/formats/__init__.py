"""The formats of exported files: how each is written, and how its metadata are read."""
