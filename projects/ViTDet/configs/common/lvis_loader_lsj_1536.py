from .lvis_loader_lsj_1280 import dataloader
from .resolution import set_resolution

set_resolution(dataloader, 1536)
