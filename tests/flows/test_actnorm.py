"""Data-dependent start: once, over all processes, and never again after a checkpoint."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from instglow.flows import ActNorm


def batch(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(4, 6, 10, generator=generator) + torch.arange(6.0)[:, None]


def test_the_first_batch_comes_out_standardised():
    y, _ = ActNorm(6).train()(batch(0))
    torch.testing.assert_close(y.mean((0, 2)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 2), correction=0), torch.ones(6), atol=1e-4, rtol=0)


def test_the_second_batch_changes_nothing():
    layer = ActNorm(6).train()
    layer(batch(0))
    before = layer.bias.clone()
    layer(batch(1))
    assert torch.equal(layer.bias, before)


def test_evaluation_does_not_start_it():
    layer = ActNorm(6).eval()
    torch.testing.assert_close(layer(batch(0))[0], batch(0))
    assert not layer.initialized


def test_a_constant_channel_is_survived():
    x = batch(0)
    x[:, 2] = 0
    y, ladj = ActNorm(6).train()(x)
    assert y.isfinite().all()
    assert ladj.isfinite().all()


def test_a_checkpoint_remembers_the_start(tmp_path: Path):
    layer = ActNorm(6).train()
    layer(batch(0))
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    resumed = ActNorm(6).train()
    resumed.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    resumed(batch(1))
    assert torch.equal(resumed.bias, layer.bias)
    assert torch.equal(resumed.log_scale, layer.log_scale)


def _start(rank: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = ActNorm(6).train()
    layer(batch(rank))
    torch.save(layer.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_start_as_one_would_with_both_batches(tmp_path: Path):
    mp.spawn(_start, (str(tmp_path),), nprocs=2)
    alone = ActNorm(6).train()
    alone(torch.cat([batch(0), batch(1)]))
    for rank in (0, 1):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(state, alone.state_dict())
