from .in1k_224_finetune import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["eva_clip_psz14.pt"], "evaluate": ["eva_clip_vis_enc_sz336_ftcls_89p4.pt"]}

# The position embeddings of the initial weights are resized.
model.img_size = 336
