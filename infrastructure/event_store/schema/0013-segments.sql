-- Sealed segments: segment i holds the records [i * 4096, (i + 1) * 4096) of the global order in one block, so that a
-- reader decodes them in one call. `root` is the RFC 6962 root of their leaves: a perfect, aligned subtree of the tree
-- over the whole log. `digest` is over everything in the segment and the digest before it, so the segments are a chain.
-- `members` says which of `runs` each record belongs to, where there are several.
CREATE TABLE segments (
    segment        integer     PRIMARY KEY CHECK (segment >= 0),
    first_position bigint      NOT NULL UNIQUE,
    events         bigint      NOT NULL,
    runs           bigint[]    NOT NULL,
    lengths        bytea       NOT NULL,
    members        bytea       NOT NULL,
    block          bytea       NOT NULL,
    root           bytea       NOT NULL CHECK (octet_length(root) = 32),
    previous       bytea       NOT NULL CHECK (octet_length(previous) = 32),
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    sealed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A block is read whole or not at all; what Postgres would save by compressing it, every reader would pay for.
ALTER TABLE segments ALTER COLUMN block SET STORAGE EXTERNAL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON segments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE segments ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON segments TO truetape_writer;
