"""Ways to run the one loop over a recorded past: backtests and audits."""
