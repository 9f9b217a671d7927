-- `append_records` as before, but the arrays are unnested in step, row by row. In FROM each of the sixteen is first written
-- out as a table of its own, which took a seventh of what an append costs the server.
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
        ) SELECT
            unnest(positions), unnest(runs), unnest(streams), unnest(versions), unnest(counts), unnest(ats),
            unnest(observed_ats), unnest(venue_ats), unnest(clock_offsets), unnest(actors), unnest(cause_streams),
            unnest(cause_versions), unnest(keys), unnest(topics), unnest(leaves), unnest(states);
        PERFORM pg_notify('records', '');
    END IF;
    RETURN ended;
END
$$;
