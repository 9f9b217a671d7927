"""Alerts of one source: parsed, deduplicated, judged."""
