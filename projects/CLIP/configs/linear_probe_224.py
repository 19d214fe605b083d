from ...Classification.configs.linear_probe_224 import dataloader, lr_multiplier, model, optimizer, train

# train.init_checkpoint: eva_clip_psz14.pt. To evaluate: eva_clip_vis_enc_sz224_lincls_86p5.pth
