"""The strategies that ship, one a file; each has a `STRATEGY`."""
