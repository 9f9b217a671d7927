"""The bot: what it trades, and its live group."""
