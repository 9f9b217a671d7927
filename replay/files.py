"""What the files of a run's folder are called."""

SUMMARY_FILE, LINES_FILE = "summary.json", "events.jsonl"
FILLS_FILE, TRIPS_FILE, EQUITY_FILE = "fills.csv", "round_trips.csv", "equity.csv"
EVENTS_FILE, REPORT_FILE = "events.parquet", "report.html"
FILES = (FILLS_FILE, TRIPS_FILE, EQUITY_FILE, EVENTS_FILE, REPORT_FILE)
"""Those that every run on candles leaves beside its summary."""
