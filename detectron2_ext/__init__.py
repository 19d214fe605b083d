"""Detection and instance segmentation with EVA on Detectron2: models, COCO-format data, evaluation, prediction."""
