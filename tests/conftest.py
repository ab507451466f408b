"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: hypothesis times each example, and the first one of a fresh checkout
# makes its tables of characters.
settings.register_profile("launchpad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("launchpad")
