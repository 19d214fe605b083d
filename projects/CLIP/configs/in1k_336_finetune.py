from .in1k_224_finetune import dataloader, lr_multiplier, model, optimizer, train

# train.init_checkpoint: eva_clip_psz14.pt, whose position embeddings are resized. To evaluate:
# eva_clip_vis_enc_sz336_ftcls_89p4.pt
model.img_size = 336
