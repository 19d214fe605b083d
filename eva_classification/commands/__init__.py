"""Commands of image classification: its demo, and weights for timm."""
