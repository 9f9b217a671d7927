"""Everything with I/O: settings, the database, venues, market data."""
