-- When a stop order was triggered. The rows of `projections/orders.py` are folded anew for it.
ALTER TABLE orders ADD COLUMN triggered_at bigint;

-- Projections that cannot go on: how far their rows have come, and why no further. The rest of Truetape does go on.
CREATE TABLE projection_stops (
    projection     text        PRIMARY KEY,
    schema_version bigint      NOT NULL,
    position       bigint      NOT NULL,
    reason         text        NOT NULL,
    stopped_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON projection_stops TO truetape_writer;
