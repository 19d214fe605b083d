"""The runtimes that execute exported files: arrays in, arrays by name out."""
