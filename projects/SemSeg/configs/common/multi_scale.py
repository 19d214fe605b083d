def evaluate_at_scales(dataloader):
    """Evaluate at seven scales, each unflipped and flipped, padded to the size of one window at least."""
    dataloader.test.mapper.views.update(
        ratios=[side / 896 for side in (512, 640, 768, 896, 1024, 1152, 1280)], flip=True, min_side=896
    )


def evaluate_at_larger_scales(dataloader, window):
    """Evaluate at six ratios, each unflipped and flipped; the shorter side has at least the size of one window.

    As published for EVA-02: the first three of the ratios give the same size.
    """
    dataloader.test.mapper.views.update(
        ratios=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True, long_side=None, min_short_side=window
    )
