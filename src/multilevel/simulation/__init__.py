"""R's random numbers and simulated designs with known parameters."""
