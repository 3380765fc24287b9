"""Configurations of `instglow fit` that train the rivals."""
