"""Property tests draw the same examples everywhere, and are not timed."""

from hypothesis import settings

settings.register_profile("analysis", deadline=None, derandomize=True)
settings.load_profile("analysis")
