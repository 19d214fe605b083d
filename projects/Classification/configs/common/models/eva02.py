from detectron2.config import LazyCall as L

from eva_classification import MODELS, Classifier

model = L(Classifier)(
    img_size=448,
    num_classes=1000,
    # "mean": the normalised mean of the patch tokens; "class": the class token after the final norm.
    pooling="mean",
    # "linear": a layer initialised close to zero; "probe": batch normalisation and a linear layer on frozen features.
    head="linear",
    # Label smoothing of the loss. Mixup and CutMix have their own, in the soft labels.
    smoothing=0.1,
    # Stochastic depth rate of the last block; it grows linearly from 0 at the first block.
    drop_path_rate=0.1,
)


def use_eva02(size, **options):
    """Choose "tiny", "small", "base" or "large", and other options of the classifier."""
    model.update({**MODELS[f"eva02_{size}_patch14"], **options})
