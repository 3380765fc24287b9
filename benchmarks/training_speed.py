"""`make training-speed`: our training step against the same step written plainly, on one core.

Both start from the same weights and see the same data and noise. They take turns (A B A B), so
that a busy machine slows both; what is counted is the processor time of this process, and of each
pair the ratio.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from plain_glow import PlainGlow
from provenance import sign
from torch import Tensor

from instglow.audio.frontend import Frontend
from instglow.families.glow import GlowPrior

FRONTEND = Frontend(22050, 1024, 256)
BATCHES = ((2, 2.0), (8, 2.0), (16, 5.0))
"""Segments, and seconds of each; the last is that of `configs/paper`."""
WARM = 2

HEADER = """# Training speed

Written by `make training-speed`. One step (loss, gradients, Adam) of a prior of the paper's size,
{parameters:.1f} million parameters, on one core of {machine}, float32.
The plain step is GlowTTS's decoder as it is usually written in PyTorch, without masks and without
weight normalisation (`benchmarks/plain_glow.py`), with PyTorch's default Adam; ours takes the
fused one. Median processor seconds of {rounds} interleaved rounds after {warm} of each to warm up;
the ratio is the median over rounds, with the least and the greatest. 16 × 5 s is the batch of
`configs/paper`.

| batch | plain, s a step | ours, s a step | seconds of music a second, plain | ours | ratio |
|---|---:|---:|---:|---:|---:|
"""

EQUAL = """
The same weights, data and noise give the same numbers. Greatest relative difference (of norms,
over all parameters) on a batch of {batch}:

| | loss | gradients |
|---|---:|---:|
"""


def prior_of_paper_size() -> GlowPrior:
    torch.manual_seed(0)
    prior = GlowPrior(FRONTEND).train()
    for step in prior.flow.steps:
        # a fresh coupling is the identity, and would hide mistakes
        torch.nn.init.normal_(step.coupling.network.end.weight, std=0.01)
        torch.nn.init.normal_(step.actnorm.log_scale, std=0.1)
        step.actnorm.initialized.fill_(True)
    return prior


def music(batch: int, seconds: float) -> Tensor:
    frames = FRONTEND.frames(int(seconds * FRONTEND.sample_rate)) // 2 * 2
    return torch.rand(batch, FRONTEND.bins, frames, generator=torch.Generator().manual_seed(1))


def stepper(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> Callable[[], float]:
    def step() -> float:
        started = time.process_time()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        return time.process_time() - started

    return step


def race(batch: int, seconds: float, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each round: the plain step's, ours."""
    prior, data = prior_of_paper_size(), music(batch, seconds)
    plain, draw = PlainGlow(prior), torch.Generator().manual_seed(2)
    theirs = stepper(lambda: plain.loss(data, draw), torch.optim.Adam(plain.parameters(), 1e-4))
    ours = stepper(
        lambda: prior.loss(data, draw)["loss"],
        torch.optim.Adam(prior.parameters(), 1e-4, fused=True),
    )
    for _ in range(WARM):
        theirs(), ours()
    pairs = [(theirs(), ours()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def differences(dtype: torch.dtype) -> tuple[float, float]:
    """Relative: of the loss, and the greatest of any parameter's gradient."""
    prior = copy.deepcopy(prior_of_paper_size()).to(dtype)
    plain, data = PlainGlow(prior).to(dtype), music(*BATCHES[0]).to(dtype)
    theirs = plain.loss(data, torch.Generator().manual_seed(2))
    ours = prior.loss(data, torch.Generator().manual_seed(2))["loss"]
    theirs.backward()
    ours.backward()
    gradients = [
        (mine.view_as(parameter) - parameter.grad).norm() / parameter.grad.norm()
        for parameter, mine in zip(plain.parameters(), plain.in_our_order(True), strict=True)
    ]
    # a tensor's maximum, because Python's passes over a NaN
    return abs(float((ours - theirs).detach() / theirs.detach())), float(
        torch.stack(gradients).max()
    )


def report(rounds: int) -> str:
    parameters = sum(p.numel() for p in prior_of_paper_size().parameters()) / 1e6
    text = HEADER.format(parameters=parameters, machine=machine(), rounds=rounds, warm=WARM)
    for batch, seconds in BATCHES:
        plain, ours = race(batch, seconds, rounds)
        ratios = [theirs / mine for theirs, mine in zip(plain, ours, strict=True)]
        slow, fast = statistics.median(plain), statistics.median(ours)
        heard = batch * seconds
        text += (
            f"| {batch} × {seconds:g} s | {slow:.3f} | {fast:.3f} | {heard / slow:.1f} | "
            f"{heard / fast:.1f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}–{max(ratios):.2f}) |\n"
        )
    text += EQUAL.format(batch=BATCHES[0][0])
    for dtype in (torch.float32, torch.float64):
        loss, gradients = differences(dtype)
        text += f"| {str(dtype).removeprefix('torch.')} | {loss:.0e} | {gradients:.0e} |\n"
    return text


def machine() -> str:
    return f"an {platform.machine()} processor, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = report(arguments.rounds)
    arguments.write.write_text(text)
    sign(arguments.write)
    print(text)


if __name__ == "__main__":
    main()
