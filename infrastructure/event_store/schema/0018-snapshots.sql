-- Snapshots: a shard's whole state after the record at `position` of its run, so that a start reads the log from there.
-- Never the truth: what is wrong with one, or was made under other rules (`schema_version`), is passed over, and the log
-- is read from an older one or from its beginning. `digest` is SHA-256 over run, position, schema version and state.
CREATE TABLE snapshots (
    run            bigint      NOT NULL REFERENCES runs,
    position       bigint      NOT NULL CHECK (position > 0),
    schema_version text        NOT NULL,
    state          bytea       NOT NULL,
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    made_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, position, schema_version)
);

-- The state is compressed already.
ALTER TABLE snapshots ALTER COLUMN state SET STORAGE EXTERNAL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON snapshots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE snapshots ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON snapshots TO truetape_writer;
