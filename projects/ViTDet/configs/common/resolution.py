def set_resolution(dataloader, size):
    """Train on crops of `size` x `size` pixels and evaluate images whose long side is `size`."""
    _, resize, crop = dataloader.train.mapper.augmentations
    resize.target_height = resize.target_width = size
    crop.crop_size = (size, size)
    set_test_resolution(dataloader, size)


def set_test_resolution(dataloader, size):
    """Evaluate images whose long side is `size` pixels."""
    (resize,) = dataloader.test.mapper.augmentations
    resize.short_edge_length = resize.max_size = size
