from detectron2.config import LazyCall as L

from eva_classification import MODELS, Classifier

model = L(Classifier)(
    **MODELS["eva_giant_patch14"],
    img_size=224,
    num_classes=1000,
    # The mean of the patch tokens, normalised; "class": the class token behind the last normalisation.
    pooling="mean",
    # "linear" starts close to zero; "probe" is batch normalisation and a layer, over frozen features.
    head="linear",
    # Label smoothing of the loss. Mixup and CutMix have their own, in the targets.
    smoothing=0.0,
    # Stochastic depth of the last block; it grows linearly from 0 at the first.
    drop_path_rate=0.4,
)
