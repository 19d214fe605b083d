from detectron2.config import LazyCall as L

from eva_video import MODELS, VideoClassifier, VideoStateDictAdapter

model = L(VideoClassifier)(
    **MODELS["eva_giant_patch14_video"],
    img_size=224,
    # Frames of a clip. The loader follows.
    num_frames=16,
    num_classes=400,
    # The mean of the patch tokens of all frames, normalised; "class": the class token behind the last normalisation.
    pooling="mean",
    # Label smoothing of the loss. Mixup and CutMix have their own, in the targets.
    smoothing=0.1,
    # Stochastic depth of the last block; it grows linearly from 0 at the first.
    drop_path_rate=0.2,
    # Of files of num_classes classes the rows of the head that this model's classes have; other heads start fresh.
    # num_frames and img_size are those of the file, and needed only where its number of positions does not tell them.
    starting=L(VideoStateDictAdapter)(num_frames=None, img_size=None, num_classes=None, head_rows=None),
)
