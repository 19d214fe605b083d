"""What the scripts have in common: measuring in turn, stating figures, running them all, writing the page."""
