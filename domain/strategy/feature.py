"""What a feature's value is."""

Value = int | float
"""Exact where the feature is a sum or a count of integers, else a statistic; never an amount."""
Values = tuple[Value, ...]
"""One of each feature at a candle, in the order of their names."""
