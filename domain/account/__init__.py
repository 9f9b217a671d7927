"""The account: cash, positions and open orders."""
