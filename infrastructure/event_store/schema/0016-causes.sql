-- What followed from an event, for explanations: the decisions that name it as their cause.
CREATE INDEX records_by_cause ON records (run, cause_stream, cause_version) WHERE cause_stream IS NOT NULL;
