"""The EVA vision transformer, free of any task and of Detectron2."""
