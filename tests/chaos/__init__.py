"""Chaos: the real programs, commands all the time, and one fault after the other (`make chaos`)."""
