"""On a device: the stems of the CPU, and no waiting inside a search."""

import pytest
import torch
from toys import FRONTEND, glows

from instglow.api import Separator
from instglow.separation.presets import PRESETS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
PRESETS_OF_GLOW = ["paper", "paper-map", "fast", "default"]


@pytest.mark.parametrize("preset", PRESETS_OF_GLOW)
def test_the_device_separates_as_the_cpu_does(preset, monkeypatch):
    # what is compared is the engine, not the ten bits that convolutions round to on tensor cores
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    mixture = 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(1))
    settings = {"segment": 0.4, "overlap": 0.1, "batch_size": 2}
    expected, found = (
        Separator(
            dict(zip(("low", "high"), glows(), strict=True)), preset, device=device, **settings
        ).separate(mixture, 8000)
        for device in ("cpu", "cuda")
    )
    for name, stem in expected.items():
        torch.testing.assert_close(found[name], stem, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("preset", PRESETS_OF_GLOW)
def test_a_search_never_waits_for_the_device(preset):
    members = [prior.cuda() for prior in glows()]
    mixture = torch.rand(2, FRONTEND.bins, 20, device="cuda")
    search = PRESETS[preset].search
    search(members, mixture)  # the first allocates and chooses kernels
    told = []
    torch.cuda.set_sync_debug_mode("error")
    try:
        search(members, mixture, lambda step, objective: told.append(step))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(told) == search.iterations
