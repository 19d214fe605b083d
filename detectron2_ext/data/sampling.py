"""Repeat-factor sampling for long-tailed data."""

from detectron2.data.samplers import RepeatFactorTrainingSampler

from eva_backbone.errors import InputError


def repeat_factor_sampler(
    dataset: list[dict], threshold: float = 0.001, seed: int | None = None
) -> RepeatFactorTrainingSampler:
    """Detectron2's sampler with factors from the class frequencies of ``dataset``; a LazyConfig target.

    An image is repeated max(1, sqrt(threshold / f)) times on average, f being the share of images that show its
    rarest class (LVIS paper, appendix B.2).

    Args:
        dataset: Detectron2 dataset dicts, the list the loader gets.
        threshold: share of images below which a class is repeated, 0 to 1.
        seed: of rounding and shuffling, the same in all processes; None draws one and shares it.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"The repeat threshold is {threshold}, expected a share of images between 0 and 1.")
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(dataset, threshold)
    return RepeatFactorTrainingSampler(factors, seed=seed)
