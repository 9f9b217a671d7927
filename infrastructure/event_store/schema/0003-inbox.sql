-- The inbox: commands, deliveries and market data that were accepted and are not yet on the log. Its rows are the order in
-- which a shard takes its inputs, and stay as the tape of a paper run. `id` is dense and in the order of commits.

CREATE TABLE inbox (
    id              bigint PRIMARY KEY CHECK (id > 0),
    kind            text   NOT NULL CHECK (kind IN ('command', 'alert', 'candle', 'trade')),
    subject         text   NOT NULL, -- the instrument of market data, the source of an alert, the name of a command
    actor           text   NOT NULL,
    body            bytea  NOT NULL,
    received_at     bigint NOT NULL,
    idempotency_key text,
    UNIQUE (actor, idempotency_key)
);

CREATE INDEX inbox_of_subject ON inbox (kind, subject, id);

-- What became of a row, written with the records it caused; positions are of its first and its last event, null where it
-- caused none. A row without an outcome is still to be taken.
CREATE TABLE outcomes (
    id             bigint PRIMARY KEY REFERENCES inbox,
    first_position bigint,
    last_position  bigint,
    error          text,
    done_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((first_position IS NULL) = (last_position IS NULL))
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inbox
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE inbox ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE outcomes ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON inbox, outcomes TO truetape_writer;
