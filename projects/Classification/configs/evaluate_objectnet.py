from detectron2.config import LazyCall as L

from eva_classification.data import objectnet_classes
from eva_classification.evaluation import ObjectNetLabels
from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

# Only images of classes that ImageNet-1K has too; predictions are among all 1000. "accuracy" accepts every class that
# names the object, "accuracy_published" only the first. The published numbers also kept the red border of two pixels:
# dataloader.test.mapper.border=0, or evaluate_objectnet_published.py
ROOT = f"{dataset_root()}/objectnet-1.0"
dataloader.test.dataset.update(
    root=f"{ROOT}/images", class_map=L(objectnet_classes)(root=ROOT), on_unlisted_class="skip", num_classes=None
)
dataloader.test.mapper.border = 2
dataloader.test.mapper.transform.interpolation = "bilinear"
dataloader.test.repeat_to_multiple_of = 8
dataloader.evaluator.label_mapping = L(ObjectNetLabels)(root=ROOT)
dataloader.evaluator.published_label_mapping = L(ObjectNetLabels)(root=ROOT, first_only=True)
