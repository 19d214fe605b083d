"""Commands from a checkout: `python -m tools` lists them."""
