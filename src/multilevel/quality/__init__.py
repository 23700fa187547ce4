"""How good a fit is: variance explained, information criteria, checks, influence, standardised parameters."""
