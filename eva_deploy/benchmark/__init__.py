"""Speed, memory and accuracy of a trained model in several formats on this machine."""
