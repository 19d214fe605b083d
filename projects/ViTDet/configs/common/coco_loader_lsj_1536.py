from .coco_loader_lsj_1024 import dataloader
from .resolution import set_resolution

set_resolution(dataloader, 1536)
