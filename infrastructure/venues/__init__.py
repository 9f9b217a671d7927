"""One file per venue; the simulated one stands for all of them in backtests and on paper."""
