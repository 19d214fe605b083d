"""Demos on real data, one folder per task; only their recipes and the table of verbs refer to them."""
