"""Scores of separated stems."""
