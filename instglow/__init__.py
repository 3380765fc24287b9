"""Music source separation with independent, per-instrument generative priors."""

__version__ = "0.1.0"
