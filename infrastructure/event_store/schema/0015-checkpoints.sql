-- Whose checkpoints these are: a log has a name of its own, which its signed checkpoints begin with.
CREATE TABLE log_identity (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    log    uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO log_identity DEFAULT VALUES;

-- Checkpoints that were made. What proves something is the signed note outside of this database; a row is the list of
-- them, and where the next one may go on: `base_...` is the state after the last whole block of 4096 records.
CREATE TABLE checkpoints (
    size          bigint      PRIMARY KEY CHECK (size > 0),
    position      bigint      NOT NULL,
    root          bytea       NOT NULL CHECK (octet_length(root) = 32),
    note          text        NOT NULL,
    base_size     bigint      NOT NULL CHECK (base_size % 4096 = 0 AND base_size <= size),
    base_position bigint      NOT NULL,
    base_roots    bytea[]     NOT NULL,
    base_runs     bytea       NOT NULL CHECK (octet_length(base_runs) = 32),
    made_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_identity
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE log_identity ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT ON log_identity TO truetape_writer;
GRANT SELECT, INSERT ON checkpoints TO truetape_writer;
