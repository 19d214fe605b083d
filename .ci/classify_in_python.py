"""A classifier by name, weights from a file, a picture, its class: with the base dependencies alone."""

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from eva_backbone import create_backbone
from eva_classification import create_classifier, evaluation_transform
from eva_engine.checkpoint import build_and_load

tokens = create_backbone("tiny", img_size=28, patch_size=14)(torch.zeros(1, 3, 28, 28))
assert tokens.shape[0] == 1, tokens.shape

made = create_classifier("eva_tiny_patch14", num_classes=10, img_size=28)
save_file(made.state_dict(), "weights.safetensors")
Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save("picture.png")

model, report = build_and_load(
    lambda: create_classifier("eva_tiny_patch14", num_classes=10, img_size=28), "weights.safetensors"
)
assert not report.missing, report.missing
pixels = evaluation_transform(28)(Image.open("picture.png").convert("RGB"))[None]
with torch.inference_mode():
    probabilities = model.eval()(pixels).softmax(1)
    torch.testing.assert_close(probabilities, made.eval()(pixels).softmax(1))
print(f"class {int(probabilities.argmax())}")
