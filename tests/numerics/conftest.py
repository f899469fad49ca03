"""Laws are tried on generated values; a busy machine is no reason to fail them."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
