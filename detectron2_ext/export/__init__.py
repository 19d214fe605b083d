"""Export of detectors: a version with fixed sizes that shares the weights, and the model in terms of its file."""
