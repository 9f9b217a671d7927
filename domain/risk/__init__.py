"""Pre-trade risk: rules that judge an intended order against the account's state."""
