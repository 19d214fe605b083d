"""What EVA adds to Detectron2: modeling, data, evaluation, checkpoints."""
