"""What InstGlow itself brings, by name: for a command to list without importing it."""

PRESETS = ("default", "fast", "paper", "paper-map", "nmf")

OWN = "instglow"
"""The method of evaluation that separates as `instglow separate` does."""

METHODS = (
    *(OWN, "fast", "paper", "paper-map", "nmf"),
    *("mixture", "mixture-share", "ideal-ratio-mask", "ideal-magnitude"),
)
