-- Running strategies as `projections/strategies.py` folds them, and their history as in `0019-row-history.sql`.

CREATE TABLE strategies (
    run        bigint NOT NULL,
    bot        text   NOT NULL,
    account    text   NOT NULL,
    strategy   text   NOT NULL,
    code       text   NOT NULL,
    instrument text   NOT NULL,
    parameters text   NOT NULL,
    features   text   NOT NULL,
    started_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    status     text   NOT NULL,
    error      text,
    decisions  bigint NOT NULL,
    acted_at   bigint,
    close      bigint,
    "values"   text,
    intents    bigint NOT NULL,
    reacted_to bigint NOT NULL,
    reason     text   NOT NULL,
    fills      bigint NOT NULL,
    held       bigint NOT NULL,
    cost       bigint NOT NULL,
    realized   bigint NOT NULL,
    fees       bigint NOT NULL,
    PRIMARY KEY (run, bot)
);

CREATE TABLE strategies_history (
    LIKE strategies, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, bot, since, until)
);
CREATE UNIQUE INDEX strategies_standing ON strategies_history (run, bot)
    WHERE until = 9223372036854775807;

GRANT SELECT, INSERT, UPDATE, DELETE ON strategies, strategies_history TO truetape_writer;
