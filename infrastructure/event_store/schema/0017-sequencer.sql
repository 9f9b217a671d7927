-- Appends go through one function: lock, fence, place, insert and notify are one statement, so a process that is stopped
-- at any point has either sent it whole or not at all, and no round trip lies between the check and the write.

-- Who may append to a run: the last one who took it. A run that nobody has taken is its opener's, epoch 0.
CREATE TABLE leases (
    run      bigint      NOT NULL REFERENCES runs,
    epoch    integer     NOT NULL CHECK (epoch > 0),
    holder   text        NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, epoch)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE leases ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON leases TO truetape_writer;

-- Take a run: whoever held it before appends nothing from here on. It waits for an append that is under way.
CREATE FUNCTION take_lease(of_run bigint, by_holder text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    taken integer;
BEGIN
    PERFORM pg_advisory_xact_lock(x'747275650002'::bigint);
    INSERT INTO leases (run, epoch, holder)
        SELECT of_run, coalesce(max(leases.epoch), 0) + 1, by_holder FROM leases WHERE leases.run = of_run
        RETURNING leases.epoch INTO taken;
    RETURN taken;
END
$$;

-- An append whose connection was lost may be on its way to the server still, and be carried out after its writer has looked
-- and found nothing. So before a writer says that nothing was appended, it gives the attempt up here, under the lock that
-- appends take; an attempt that has been given up writes nothing, however late it comes.
CREATE TABLE given_up (
    attempt     bigint      PRIMARY KEY,
    given_up_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON given_up
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE given_up ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON given_up TO truetape_writer;

-- A foreign key looks up the run of every single record, which costs a third of an append. The function looks up each run
-- once instead; a record that came by another way is found by `truetape audit check`, which holds every run against `runs`.
ALTER TABLE records DROP CONSTRAINT records_run_fkey;

-- Append records whose first event is to stand at `first`. Returns 0 where the attempt has been given up, NULL where a run's
-- epoch is not the one given for it; otherwise the position at which the log ended, and the records were written where
-- that is `first`. The arrays are unnested in step, row by row: in FROM each of the sixteen would first be written out as a
-- table of its own, which takes a seventh of what an append costs the server.
CREATE FUNCTION append_records(
    of_attempt bigint, of_runs bigint[], epochs integer[], first bigint,
    positions bigint[], runs bigint[], streams integer[], versions integer[], counts integer[], ats bigint[],
    observed_ats bigint[], venue_ats bigint[], clock_offsets bigint[], actors text[], cause_streams integer[],
    cause_versions integer[], keys text[], topics text[], leaves bytea[], states bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    ended bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(x'747275650002'::bigint);
    -- Each statement here sees what was committed before it began, so what is read from here on is read under the lock.
    IF EXISTS (SELECT FROM given_up WHERE given_up.attempt = of_attempt) THEN
        RETURN 0;
    END IF;
    IF EXISTS (
        SELECT FROM unnest(of_runs, epochs) AS asked (run, epoch)
        WHERE asked.epoch <> coalesce((SELECT max(leases.epoch) FROM leases WHERE leases.run = asked.run), 0)
    ) THEN
        RETURN NULL;
    END IF;
    IF (SELECT count(*) FROM runs WHERE runs.run = ANY(of_runs)) < cardinality(of_runs) THEN
        RAISE foreign_key_violation USING MESSAGE = format('not all of the runs %s have been opened', of_runs);
    END IF;
    SELECT position + events INTO ended FROM records ORDER BY position DESC LIMIT 1;
    ended := coalesce(ended, 1);
    IF ended = first THEN
        INSERT INTO records (
            position, run, stream, version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream,
            cause_version, key, topic, leaf, state
        ) SELECT
            unnest(positions), unnest(runs), unnest(streams), unnest(versions), unnest(counts), unnest(ats),
            unnest(observed_ats), unnest(venue_ats), unnest(clock_offsets), unnest(actors), unnest(cause_streams),
            unnest(cause_versions), unnest(keys), unnest(topics), unnest(leaves), unnest(states);
        PERFORM pg_notify('records', '');
    END IF;
    RETURN ended;
END
$$;

GRANT EXECUTE ON FUNCTION take_lease, append_records TO truetape_writer;
