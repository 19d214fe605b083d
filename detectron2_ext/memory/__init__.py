"""The part of a memory plan that is particular to detectors."""
