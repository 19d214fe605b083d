from ...Classification.configs.linear_probe_336 import dataloader, lr_multiplier, model, optimizer, train

# train.init_checkpoint: eva_clip_psz14.pt, whose positions are resized. To evaluate:
# eva_clip_vis_enc_sz336_lincls_86p5.pth
