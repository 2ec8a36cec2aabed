"""How long tests wait for what has to come: a thread, another process, an answer."""

PATIENCE = 300.0
"""Seconds. What comes, comes in a few on a quiet machine; only what never comes takes all of them,
so that a test ends in a failure and not never."""
