"""The event store: records in Postgres, append-only, one row per decision."""
