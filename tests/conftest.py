"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Kernels may be compiled on their first call, so no example has a deadline; every run tries the same examples.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("steady")
