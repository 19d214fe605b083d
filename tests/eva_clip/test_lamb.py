"""DeepSpeed's LAMB: its formula in float64, the limits of its factor, and parameters that start at zero."""

import numpy as np
import pytest
import torch
from torch import nn

from eva_clip.lamb import Lamb

OPTIONS = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}


def steps_by_formula(value, gradients, lr, betas, eps, weight_decay, low=0.01, high=10.0):
    """Return the parameter after all steps, and the unlimited ratio of norms in each."""
    value, mean, square, ratios = value.astype(np.float64), 0.0, 0.0, []
    for t, gradient in enumerate(gradients, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        update = mean / (np.sqrt(square) + eps) + weight_decay * value
        ratio = np.linalg.norm(value) / np.linalg.norm(update)
        ratios.append(ratio)
        factor = np.clip(ratio, low, high) if np.linalg.norm(value) > 0 else 1.0
        value = value - lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) * factor * update
    return value, ratios


@pytest.mark.parametrize(("scale", "limited"), [(1.0, False), (100.0, True), (1e-4, True), (0.0, True)])
def test_formula(scale, limited):
    generator = np.random.default_rng(1)
    value = scale * generator.standard_normal((6, 5)).astype(np.float32)
    gradients = [generator.standard_normal((6, 5)).astype(np.float32) for _ in range(4)]
    parameter = nn.Parameter(torch.from_numpy(value.copy()))
    optimizer = Lamb([parameter], **OPTIONS)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    expected, ratios = steps_by_formula(value, gradients, **OPTIONS)
    assert (0.01 < ratios[0] < 10) is not limited
    assert (parameter.detach().numpy() != value).all()
    np.testing.assert_allclose(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_groups_and_state():
    matrix, vector = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
    groups = [{"params": [matrix], "lr": 0.1}, {"params": [vector], "lr": 0.2, "weight_decay": 0.0}]
    optimizer = Lamb(groups, weight_decay=0.5, min_coeff=2.0, max_coeff=2.0)
    for parameter in (matrix, vector):
        parameter.grad = torch.full_like(parameter, 3.0)
    assert optimizer.step(lambda: "loss") == "loss"
    # In the first step the corrected average of the gradient, divided by its root mean square, is 1.
    torch.testing.assert_close(vector.detach(), torch.full((3,), 1 - 0.2 * 2))
    correction = 0.001**0.5 / 0.1  # of the weight decay, which DeepSpeed scales like the gradient
    torch.testing.assert_close(matrix.detach(), torch.full((2, 3), 1 - 0.1 * 2 * (1 + 0.5 * correction)))
    other = Lamb([{"params": [nn.Parameter(torch.ones(2, 3))]}, {"params": [nn.Parameter(torch.ones(3))]}])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[1]["weight_decay"] == 0
    assert next(iter(other.state.values()))["step"].item() == 1
