"""What InstGlow is compared with: other priors and their searches, networks trained on mixtures.

Nothing in the product imports this package; it is reached through entry points alone, as any other
installed package would be.
"""
