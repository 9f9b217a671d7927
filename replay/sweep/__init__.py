"""Many backtests of one strategy: searches over its parameters, walk-forward, and what chance would have made of it."""
