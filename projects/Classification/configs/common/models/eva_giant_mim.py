from detectron2.config import LazyCall as L

from eva_classification import MODELS
from eva_classification.mim import BlockMasking, ClipTeacher, MaskedImageModel

model = L(MaskedImageModel)(
    **MODELS["eva_giant_patch14"],
    img_size=224,
    drop_path_rate=0.1,
    # Any module that gives patch features [images, patches, teacher_dim]; it is frozen. This one is the image tower of
    # OpenAI's CLIP ViT-L/14.
    teacher=L(ClipTeacher)(weights="ViT-L-14.pt", img_size="${model.img_size}"),
    teacher_dim=768,
    masking=L(BlockMasking)(
        grid=(16, 16),
        # At most 105 of 256 patches are masked, a few less if no further block fits.
        num_masked=105,
        min_block=16,
        min_aspect=0.3,
    ),
)
