"""The position group: legs, targets, exit."""
