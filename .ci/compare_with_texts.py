"""Compare an image with texts by an EVA-CLIP with random weights, with the extra `clip` only."""

import torch

import eva_clip

model, _, transform = eva_clip.create_clip_model_and_transforms("eva_clip_tiny")
tokens = eva_clip.get_tokenizer(context_length=32)(["a photo of a cat", "a photo of a dog"])
with torch.inference_mode():
    cosines = model.encode_image(torch.zeros(1, 3, 56, 56)) @ model.encode_text(tokens).T
assert cosines.shape == (1, 2), cosines.shape
