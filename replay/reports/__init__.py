"""Reports of a run, folds of its log: orders, trades, controls, settings."""
