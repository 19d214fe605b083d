def evaluate_at_scales(dataloader):
    """Evaluate at seven sizes, each plain and mirrored, padded to at least one window."""
    dataloader.test.mapper.views.update(
        ratios=[side / 896 for side in (512, 640, 768, 896, 1024, 1152, 1280)], flip=True, min_side=896
    )
