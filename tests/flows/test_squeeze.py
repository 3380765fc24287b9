import pytest
import torch

from instglow.flows import Squeeze


@pytest.mark.parametrize("frames", [1, 2, 7, 8])
def test_returns(frames):
    x = torch.randn(3, 6, frames)
    y = Squeeze()(x)
    assert y.shape == (3, 12, (frames + 1) // 2)
    assert torch.equal(Squeeze().inverse(y, frames), x)


def test_the_halves_are_frames_and_the_quarters_are_bins():
    x = torch.arange(8.0).view(1, 4, 2)  # bin b of frame t holds 2 b + t
    assert Squeeze()(x).flatten().tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
