"""Create a classifier, load its weights from a file and classify an image, with the base dependencies only."""

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from eva_backbone import create_backbone
from eva_classification import create_classifier, evaluation_transform

tokens = create_backbone("tiny", img_size=28, patch_size=14)(torch.zeros(1, 3, 28, 28))
assert tokens.shape[0] == 1, tokens.shape

original = create_classifier("eva_tiny_patch14", num_classes=10, img_size=28)
save_file(original.state_dict(), "weights.safetensors")
Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("image.png")

model = create_classifier("eva_tiny_patch14", "weights.safetensors", num_classes=10, img_size=28)
pixels = evaluation_transform(28)(Image.open("image.png").convert("RGB"))[None]
with torch.inference_mode():
    probabilities = model(pixels).softmax(1)
    torch.testing.assert_close(probabilities, original(pixels).softmax(1))
print(f"class {int(probabilities.argmax())}")
