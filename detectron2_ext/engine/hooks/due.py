"""When something that is done now and then is to be done."""


def is_due(num_finished: int, period: int, max_iter: int) -> bool:
    """Whether it is, behind `num_finished` iterations: every `period` of them, unless that is 0, and at the end."""
    return num_finished == max_iter or (period > 0 and num_finished % period == 0)
