"""Published weight files by name: the table, the cache, downloads from the Hugging Face Hub, and their checks."""
