-- Execution pools, their slots and the signals that wait, as `projections/queue.py` folds them.

CREATE TABLE execution_pools (
    run                        bigint  NOT NULL,
    account                    text    NOT NULL,
    settings_version           bigint  NOT NULL,
    max_open_groups            bigint  NOT NULL,
    count_pyramids_toward_pool boolean NOT NULL,
    queue_expiry_minutes       bigint,
    opened_at                  bigint  NOT NULL,
    configured_at              bigint  NOT NULL,
    reserved                   bigint  NOT NULL,
    waiting                    bigint  NOT NULL,
    PRIMARY KEY (run, account)
);

CREATE TABLE pool_slots (
    run         bigint  NOT NULL,
    account     text    NOT NULL,
    bot         text    NOT NULL,
    source      text    NOT NULL,
    number      bigint  NOT NULL,
    instrument  text    NOT NULL,
    timeframe   text    NOT NULL,
    direction   text    NOT NULL,
    price       text    NOT NULL,
    "group"     bigint  NOT NULL,
    reserved_at bigint  NOT NULL,
    held        boolean NOT NULL,
    released_at bigint,
    reason      text,
    PRIMARY KEY (run, account, bot, source, number)
);

CREATE TABLE queued_signals (
    run                bigint NOT NULL,
    account            text   NOT NULL,
    bot                text   NOT NULL,
    source             text   NOT NULL,
    number             bigint NOT NULL,
    instrument         text   NOT NULL,
    timeframe          text   NOT NULL,
    direction          text   NOT NULL,
    price              text   NOT NULL,
    "group"            bigint NOT NULL,
    place              bigint NOT NULL,
    replacements       bigint NOT NULL,
    preferred          bigint NOT NULL,
    queued_at          bigint NOT NULL,
    expires_at         bigint,
    status             text   NOT NULL,
    ended_at           bigint,
    reason             text,
    candidates         bigint,
    ranking            text,
    replaced_by_bot    text,
    replaced_by_source text,
    replaced_by_number bigint,
    PRIMARY KEY (run, account, bot, source, number)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON execution_pools, pool_slots, queued_signals TO truetape_writer;

CREATE INDEX pool_slots_held ON pool_slots (run, account) WHERE held;
CREATE INDEX queued_signals_by_time
    ON queued_signals (run, account, queued_at, bot COLLATE "C", source COLLATE "C", number);
CREATE INDEX queued_signals_waiting ON queued_signals (run, account) WHERE status = 'waiting';
