"""A dictionary of spectra."""

import pytest

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.families.nmf import NMFPrior


@pytest.mark.parametrize("atoms", [0, 34])
def test_atoms_are_at_most_as_many_as_bins(atoms):
    assert NMFPrior(Frontend(8000, 64, 16), atoms=33).atoms.shape == (33, 33)
    with pytest.raises(ConfigError, match=f"at most the 33 bins that they explain, got {atoms}"):
        NMFPrior(Frontend(8000, 64, 16), atoms=atoms)
