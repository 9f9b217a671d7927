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

DROP FUNCTION append_records;

-- Append records whose first event is to stand at `first`. Returns 0 where the attempt has been given up, NULL where a run's
-- epoch is not the one given for it; otherwise the position at which the log ended, and the records were written where
-- that is `first`.
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

GRANT EXECUTE ON FUNCTION append_records TO truetape_writer;
