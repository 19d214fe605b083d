"""Semantic segmentation: a ViT with an adapter around its blocks and the Mask2Former head, free of Detectron2."""
