"""Folds of events into keyed rows, which do not know where the rows live."""
