from .cascade_mask_rcnn_vitdet_eva import model

# Boxes only.
model.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
