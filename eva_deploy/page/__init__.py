"""A page in the browser for a trained model, and the same predictions for programs over HTTP."""
