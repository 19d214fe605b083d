from .resolution import set_test_resolution


def evaluate_at_1536(model, dataloader):
    """Evaluate a model trained at 1280 pixels on images whose long side is 1536 pixels.

    `model.backbone.net.img_size` is not changed, because the relative position tables in the checkpoint have the size
    of the training images.
    """
    model.backbone.square_pad = 1536
    model.backbone.net.interp_type = "beit"
    set_test_resolution(dataloader, 1536)
