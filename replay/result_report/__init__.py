"""The report of a backtest as one page of HTML: no network, no other file, no plotting library."""
