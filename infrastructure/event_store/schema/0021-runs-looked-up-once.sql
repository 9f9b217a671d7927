-- A foreign key looks up the run of every single record, which costs a third of an append. The function looks up each run
-- once instead; only it has the writer's statement, and `truetape audit check` holds every record's run against `runs`.
ALTER TABLE records DROP CONSTRAINT records_run_fkey;

-- Append records whose first event is to stand at `first`. Returns 0 where the attempt has been given up, NULL where a run's
-- epoch is not the one given for it; otherwise the position at which the log ended, and the records were written where
-- that is `first`.
CREATE OR REPLACE FUNCTION append_records(
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
        ) SELECT * FROM unnest(
            positions, runs, streams, versions, counts, ats, observed_ats, venue_ats, clock_offsets, actors,
            cause_streams, cause_versions, keys, topics, leaves, states
        );
        PERFORM pg_notify('records', '');
    END IF;
    RETURN ended;
END
$$;
