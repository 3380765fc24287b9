from itertools import pairwise

import pytest
import torch

from instglow.audio.chunks import Chunk, CrossFade, plan
from instglow.errors import ConfigError

THREE_HOURS = 3 * 3600 * 192_000
PLANS = [
    (1, 1000, 10),
    (1000, 1000, 10),
    (1001, 1000, 10),
    (2000, 1000, 499),
    (1502, 1000, 499),
    (12345, 1000, 1),
    (7, 3, 1),
    (THREE_HOURS, 60 * 192_000, 2 * 192_000),
]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def join(wave: torch.Tensor, chunks: list[Chunk]) -> torch.Tensor:
    fade = CrossFade(chunks)
    return torch.cat(
        [fade.add(i, wave[..., chunk.start : chunk.stop]) for i, chunk in enumerate(chunks)], -1
    )


@pytest.mark.parametrize(("samples", "longest", "overlap"), PLANS)
def test_plan_covers_all_in_equal_overlapping_steps(samples, longest, overlap):
    chunks = plan(samples, longest, overlap)
    assert chunks[0].start == 0
    assert chunks[-1].stop == samples
    assert {chunk.samples for chunk in chunks} == {chunks[0].samples}
    assert chunks[0].samples <= longest
    assert (len(chunks) == 1) == (samples <= longest)
    steps = {after.start - before.start for before, after in pairwise(chunks)}
    assert not steps or max(steps) - min(steps) <= 1
    for before, after in pairwise(chunks):
        assert before.stop - after.start >= overlap
    # one chunk fewer could not do it
    assert (len(chunks) - 1) * (longest - overlap) + overlap < samples or len(chunks) == 1


def test_plan_over_many_sizes():
    for samples in range(1, 120):
        for longest in range(3, 30):
            for overlap in range(1, (longest + 1) // 2):
                test_plan_covers_all_in_equal_overlapping_steps(samples, longest, overlap)


@pytest.mark.parametrize("overlap", [50, 60, 100, 200])
def test_plan_refuses_an_overlap_of_half_a_chunk(overlap):
    with pytest.raises(ConfigError, match=f"overlap of {overlap} samples .* chunk, 100 samples"):
        plan(1000, 100, overlap)


@pytest.mark.parametrize("values", [(0, 100, 10), (1000, 0, 10), (1000, 100, 0), (-5, 100, 10)])
def test_plan_refuses_what_is_not_positive(values):
    with pytest.raises(ConfigError, match="must be positive"):
        plan(*values)


@pytest.mark.parametrize(("samples", "longest", "overlap"), PLANS[:-1])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_chunks_of_one_recording_join_to_it_exactly(samples, longest, overlap, shape):
    wave = noise(*shape, samples)
    assert torch.equal(join(wave, plan(samples, longest, overlap)), wave)


@pytest.mark.parametrize(
    "chunks",
    [plan(1000, 400, 100), [Chunk(start, start + 400) for start in (0, 150, 300, 450, 600)]],
    ids=["two at once", "three at once"],
)
def test_weights_sum_to_one_and_swap_smoothly(chunks):
    weights = torch.stack(
        [
            torch.cat(
                [
                    fade.add(i, torch.full((chunk.samples,), float(i == own)))
                    for i, chunk in enumerate(chunks)
                ]
            )
            for own, fade in ((own, CrossFade(chunks)) for own in range(len(chunks)))
        ]
    )
    torch.testing.assert_close(weights.sum(0), torch.ones(1000))
    assert weights.min() >= 0
    assert (weights.diff(dim=-1).abs() < 0.02).all()  # no step louder than the fade's steepest
    for own, chunk in zip(weights, chunks, strict=True):
        assert own[: chunk.start].sum() == 0
        assert own[chunk.stop :].sum() == 0
    middle = (chunks[0].stop + chunks[1].start) // 2  # of the first fade: half of either
    torch.testing.assert_close(weights[0, middle], torch.tensor(0.5), atol=0.02, rtol=0)


def test_three_chunks_over_one_sample_join_exactly():
    chunks = [Chunk(0, 10), Chunk(3, 13), Chunk(6, 16)]
    wave = noise(2, 16)
    assert torch.equal(join(wave, chunks), wave)


def test_returns_all_that_no_later_chunk_touches_and_holds_one_overlap():
    chunks = plan(1000, 400, 100)
    fade = CrossFade(chunks)
    done = 0
    for i, chunk in enumerate(chunks):
        done += fade.add(i, torch.zeros(chunk.samples)).shape[-1]
        assert done == (chunks[i + 1].start if i + 1 < len(chunks) else 1000)
        held = 0 if fade._tail is None else fade._tail.untyped_storage().nbytes() // 4
        assert held == (chunk.stop - done)


def test_leaves_the_caller_its_tensor():
    chunks = plan(20, 12, 4)
    first, second = noise(12), noise(12)
    kept = first.clone(), second.clone()
    fade = CrossFade(chunks)
    start = fade.add(0, first)
    start += 1
    first += 1
    end = fade.add(1, second)
    torch.testing.assert_close(end[0], kept[0][8], atol=0.2, rtol=0)  # not what it became later
    assert torch.equal(second, kept[1])
    assert torch.equal(first, kept[0] + 1)


def test_chunks_out_of_order_or_of_another_length_are_our_own_mistake():
    chunks = plan(20, 12, 4)
    with pytest.raises(AssertionError, match="chunk 1 came where 0 was due"):
        CrossFade(chunks).add(1, torch.zeros(12))
    with pytest.raises(AssertionError):
        CrossFade(chunks).add(0, torch.zeros(11))
