"""Proof of the log: checkpoints, what they cover, evidence that holds without us."""
