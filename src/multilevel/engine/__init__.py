"""The fit: cross-products, blocked factorisation, derivatives, optimisers."""
