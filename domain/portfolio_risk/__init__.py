"""Portfolio risk: the worst losing group of an account is closed and paid for by parts of its best ones."""
