"""The contrastive loss against the formula with all logits, in one process and in two."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from eva_backbone.errors import InputError
from eva_clip.contrastive_loss import contrastive_loss

NUM_PAIRS, WIDTH = 12, 6


def formula(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


def synthetic_features(num: int = NUM_PAIRS, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = [normalize(torch.randn(num, WIDTH, generator=generator), dim=1).to(dtype) for _ in range(2)]
    return [tensor.requires_grad_() for tensor in (*features, torch.tensor(9.0, dtype=dtype))]


@pytest.mark.parametrize("chunk_size", [1, 5, 12, 2048])
def test_value_and_gradients_are_those_of_all_logits_at_once(chunk_size):
    ours, expected = synthetic_features(), synthetic_features()
    loss = contrastive_loss(*ours, chunk_size=chunk_size)
    reference = formula(*expected)
    torch.testing.assert_close(loss, reference)
    (3 * loss).backward()
    (3 * reference).backward()
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_scale_of_one_hundred_keeps_float32_exact():
    ours, expected = synthetic_features(64, torch.float32), synthetic_features(64)
    for features in (ours, expected):
        features[0].data.copy_(expected[0].data.float())
        features[1].data.copy_(features[0].data)  # every text at its image: the loss is close to 0
        features[2].data.fill_(100.0)
    loss, reference = contrastive_loss(*ours, chunk_size=10), formula(*expected)
    torch.testing.assert_close(loss.double(), reference, rtol=1e-4, atol=1e-8)
    loss.backward()
    reference.backward()
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-3, atol=4e-7)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_inputs_get_no_gradient_and_change_no_other(frozen):
    ours, expected = synthetic_features(), synthetic_features()
    ours[frozen].requires_grad_(False)
    contrastive_loss(*ours, chunk_size=5).backward()
    formula(*expected).backward()
    for number in range(3):
        if number == frozen:
            assert ours[number].grad is None
        else:
            torch.testing.assert_close(ours[number].grad, expected[number].grad)


def test_autocast_and_half_features_compute_in_float32():
    halves = [features.bfloat16().detach().requires_grad_() for features in synthetic_features()[:2]]
    scale = torch.tensor([50.0], requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_loss(*halves, scale, chunk_size=5)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    torch.testing.assert_close(loss, formula(*(features.float() for features in halves), scale.detach()))
    loss.backward()
    assert halves[0].grad.dtype == torch.bfloat16
    assert scale.grad.shape == (1,)


@pytest.mark.parametrize("matching", [True, False])
def test_a_scale_above_its_limit_can_only_fall(matching):
    images, texts, _ = synthetic_features()
    texts = images if matching else texts
    scale, at_limit = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (30.0, 20.0))
    loss = contrastive_loss(images, texts, scale, max_logit_scale=20.0)
    reference = formula(images, texts, at_limit)
    torch.testing.assert_close(loss, reference)
    loss.backward()
    reference.backward()
    # With perfectly matching pairs the scale would grow without limit.
    assert (at_limit.grad < 0) == matching
    torch.testing.assert_close(scale.grad, at_limit.grad.clamp(min=0))


def test_logits_are_never_all_in_memory():
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            nonlocal largest
            result = operation(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.numel())
            return result

    features = synthetic_features(200)
    with Watch():
        contrastive_loss(*features, chunk_size=16).backward()
    assert largest == 200 * WIDTH


@pytest.mark.parametrize(
    ("shapes", "options", "sentence"),
    [
        (((3, 4), (2, 4)), {}, r"\[3, 4\].*\[2, 4\].*do not form pairs"),
        (((0, 4), (0, 4)), {}, "do not form pairs"),
        (((2, 4), (2, 4)), {"chunk_size": 0}, "chunk_size=0"),
        (((2, 4), (2, 4)), {"max_logit_scale": 0.0}, "max_logit_scale=0"),
    ],
)
def test_mistakes_are_one_sentence(shapes, options, sentence):
    with pytest.raises(InputError, match=sentence):
        contrastive_loss(*(torch.ones(shape) for shape in shapes), torch.tensor(1.0), **options)


class Towers(nn.Module):
    """Two linear towers and a scale."""

    def __init__(self, start: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image, self.text = (nn.Linear(WIDTH, WIDTH, dtype=torch.float64) for _ in range(2))
        self.logit_scale = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, batch: tuple[Tensor, Tensor], limit: float | None) -> Tensor:
        images, texts = normalize(self.image(batch[0]), dim=1), normalize(self.text(batch[1]), dim=1)
        return contrastive_loss(images, texts, self.logit_scale.exp(), chunk_size=5, max_logit_scale=limit)


CASES = {"free": (2.0, None), "rising": (2.0, 5.0), "falling": (6.0, 100.0)}


def gradients(case: str, own: slice) -> dict[str, Tensor]:
    start, limit = CASES[case]
    generator = torch.Generator().manual_seed(4)
    batch = [torch.randn(NUM_PAIRS, WIDTH, dtype=torch.float64, generator=generator)[own] for _ in range(2)]
    model = Towers(start)
    called = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    loss = called(batch, limit)
    loss.backward()
    return {"loss": loss.detach(), **{name: parameter.grad for name, parameter in model.named_parameters()}}


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    half = NUM_PAIRS // 2
    seen = {case: gradients(case, slice(rank * half, (rank + 1) * half)) for case in CASES}
    torch.save(seen, folder / f"{rank}.pth")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one_that_holds_the_batch(tmp_path):
    mp.set_forkserver_preload(["eva_clip.contrastive_loss"])
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="forkserver")
    parts = [torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in range(2)]
    for case in CASES:
        alone = gradients(case, slice(None))
        losses = [part[case].pop("loss") for part in parts]
        torch.testing.assert_close(sum(losses) / 2, alone.pop("loss"))
        assert losses[0] != losses[1]
        for part in parts:
            for name, gradient in alone.items():
                torch.testing.assert_close(part[case][name], gradient, msg=f"{case} {name}")
    assert alone["logit_scale"] > 0
