def evaluate_at_scales(dataloader):
    """Evaluate at seven scales, each unflipped and flipped, padded to the size of one window at least."""
    dataloader.test.mapper.views.update(
        ratios=[side / 896 for side in (512, 640, 768, 896, 1024, 1152, 1280)], flip=True, min_side=896
    )
