"""Training priors from solo recordings, one independently of the other."""
