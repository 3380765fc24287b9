"""Taking a mixture apart: the latent search, and what makes stems of its result."""
