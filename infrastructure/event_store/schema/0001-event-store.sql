-- The log: runs, their records, their ends. Append-only by role and by trigger.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'truetape_writer') THEN
        CREATE ROLE truetape_writer NOLOGIN;
        EXECUTE format('GRANT truetape_writer TO %I', current_user);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this server was migrated at the same moment
END
$$;

CREATE TABLE runs (
    run            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    label          text        NOT NULL,
    mode           text        NOT NULL CHECK (mode IN ('live', 'paper', 'backtest')),
    engine_version text        NOT NULL,
    rules_hash     text        NOT NULL,
    tape_name      text,
    tape_digest    text,
    settings       jsonb       NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);

-- A run without a row here is still going, or was interrupted.
CREATE TABLE run_ends (
    run        bigint      PRIMARY KEY REFERENCES runs,
    records    bigint      NOT NULL,
    events     bigint      NOT NULL,
    log_sha256 bytea       NOT NULL CHECK (octet_length(log_sha256) = 32),
    ended_at   timestamptz NOT NULL DEFAULT now()
);

-- One row is one decision of `events` events. `position` is that of its first event and is dense: the next record has
-- position + events; so is `version` within (run, stream). `leaf` is SHA-256 of 0x00 and `state`, as RFC 6962 hashes a
-- leaf; `state` holds neither run nor position nor wall clock. `at`, `observed_at`, `venue_at`: microseconds since 1970.
CREATE TABLE records (
    position      bigint      PRIMARY KEY CHECK (position > 0),
    run           bigint      NOT NULL REFERENCES runs,
    stream        integer     NOT NULL CHECK (stream >= 0),
    version       integer     NOT NULL CHECK (version > 0),
    events        integer     NOT NULL CHECK (events > 0),
    at            bigint      NOT NULL,
    observed_at   bigint,
    venue_at      bigint,
    clock_offset  bigint      NOT NULL,
    actor         text        NOT NULL,
    cause_stream  integer,
    cause_version integer,
    key           text,
    topic         text        NOT NULL,
    leaf          bytea       NOT NULL CHECK (octet_length(leaf) = 32),
    state         bytea       NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run, stream, version),
    CHECK ((cause_stream IS NULL) = (cause_version IS NULL))
);

CREATE INDEX records_of_run ON records (run, position);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON run_ends
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ALWAYS: also in a session that has set session_replication_role.
ALTER TABLE runs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE run_ends ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE records ENABLE ALWAYS TRIGGER append_only;

GRANT USAGE ON SCHEMA public TO truetape_writer;
GRANT SELECT, INSERT ON runs, run_ends, records TO truetape_writer;
GRANT SELECT ON schema_migrations TO truetape_writer;
