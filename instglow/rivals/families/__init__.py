"""Families of priors that the paper compares with."""
