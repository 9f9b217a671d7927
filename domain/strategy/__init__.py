"""Strategies as plug-ins: what one is, which there are, and the aggregate that runs one on an instrument."""
