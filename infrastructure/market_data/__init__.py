"""The market tape: recorded market data as integer quanta, kept apart from the log."""
