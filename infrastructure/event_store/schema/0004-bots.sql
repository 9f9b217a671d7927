-- Accounts, halts, bots and sources of alerts, as `projections/bots.py` folds them; and what the API reads them by.

CREATE TABLE accounts (
    run       bigint NOT NULL,
    account   text   NOT NULL,
    kind      text   NOT NULL,
    opened_at bigint NOT NULL,
    PRIMARY KEY (run, account)
);

CREATE TABLE halts (
    run        bigint  NOT NULL,
    account    text    NOT NULL,
    bot        text    NOT NULL,
    halted     boolean NOT NULL,
    changed_at bigint  NOT NULL,
    reason     text    NOT NULL,
    PRIMARY KEY (run, account, bot)
);

CREATE TABLE bots (
    run          bigint NOT NULL,
    bot          text   NOT NULL,
    account      text   NOT NULL,
    account_kind text   NOT NULL,
    strategy     text   NOT NULL,
    instrument   text   NOT NULL,
    settings     text   NOT NULL,
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL,
    status       text   NOT NULL,
    groups       bigint NOT NULL,
    live         bigint NOT NULL,
    PRIMARY KEY (run, bot)
);

CREATE TABLE sources (
    run        bigint NOT NULL,
    source     text   NOT NULL,
    bot        text   NOT NULL,
    instrument text   NOT NULL,
    opened_at  bigint NOT NULL,
    lag_us_max bigint,
    PRIMARY KEY (run, source)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, halts, bots, sources TO truetape_writer;

-- Lists are read newest first, a page at a time. "C": the order of a list does not depend on the database's collation.
CREATE INDEX orders_by_time ON orders (run, intended_at, account COLLATE "C", "order");
CREATE INDEX fills_by_time ON fills (run, at, stream, version);
CREATE INDEX groups_by_time ON position_groups (run, opened_at, bot COLLATE "C", "group");
CREATE INDEX alerts_by_time ON alerts (run, at, source COLLATE "C", number);
CREATE INDEX pools_held ON pools (run) WHERE quantity <> 0;

-- A stream by its name, which stands in its first record only.
CREATE INDEX records_by_key ON records (run, key) WHERE key IS NOT NULL;

-- Which row of the inbox a position came from.
CREATE INDEX outcomes_by_position ON outcomes (first_position) WHERE first_position IS NOT NULL;
