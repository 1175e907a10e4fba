"""What holds for every test."""

from hypothesis import settings

# No deadline: a promise is about what happens, not how fast; speed is measured in benchmarks/.
settings.register_profile("house", deadline=None, max_examples=50)
settings.load_profile("house")
