"""What every process that loads data does first."""

import gc


def keep_inherited(_number: int) -> None:
    """Leave alone in a forked process what its parent made; `worker_init_fn` of a `DataLoader`.

    Garbage of the parent would be collected here as well, and a destructor may wait for threads that only the parent
    has: those of FFmpeg's pixel conversions do, for ever.
    """
    gc.freeze()
