from detectron2.config import LazyCall as L

from eva_classification.data import objectnet_classes
from eva_classification.evaluation import ObjectNetAnswers
from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

# Only classes that ImageNet-1K has too, among all of its 1000; "accuracy" takes any of them that name the object,
# "accuracy_published" the first. The published numbers also left the images' red border of two pixels in place:
# dataloader.test.mapper.border=0, or evaluate_objectnet_published.py
ROOT = f"{dataset_root()}/objectnet-1.0"
dataloader.test.dataset.update(
    root=f"{ROOT}/images", class_map=L(objectnet_classes)(root=ROOT), unlisted="leave_out", num_classes=None
)
dataloader.test.mapper.border = 2
dataloader.test.mapper.transform.interpolation = "bilinear"
dataloader.test.repeat_to_multiple_of = 8
dataloader.evaluator.answers = L(ObjectNetAnswers)(root=ROOT)
dataloader.evaluator.published_answers = L(ObjectNetAnswers)(root=ROOT, first_only=True)
