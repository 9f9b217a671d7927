-- What the rows of the read models were at the boundaries of sealed segments: a row as it stood at boundary `since`, and
-- until the boundary `until`, at which it was another; the largest bigint where it still stands. A boundary is the position
-- of a segment's last event. So a row as of boundary b is the version with since <= b < until. Both are in every key, so
-- that what holds as of a boundary is found in an index alone. `infrastructure/row_history.py` writes them.
--
-- A column that a row's table gets later, its history must get too; tests/infrastructure/test_row_history.py says so.

CREATE TABLE accounts_history (
    LIKE accounts, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, since, until)
);
CREATE TABLE halts_history (
    LIKE halts, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, bot, since, until)
);
CREATE TABLE bots_history (
    LIKE bots, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, bot, since, until)
);
CREATE TABLE sources_history (
    LIKE sources, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, source, since, until)
);
CREATE TABLE alerts_history (
    LIKE alerts, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, source, number, since, until)
);
CREATE TABLE orders_history (
    LIKE orders, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, "order", since, until)
);
CREATE TABLE fills_history (
    LIKE fills, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, stream, version, since, until)
);
CREATE TABLE position_groups_history (
    LIKE position_groups, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, bot, "group", since, until)
);
CREATE TABLE position_group_legs_history (
    LIKE position_group_legs, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, bot, "group", leg, since, until)
);
CREATE TABLE instruments_history (
    LIKE instruments, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, since, until)
);
CREATE TABLE positions_history (
    LIKE positions, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, since, until)
);
CREATE TABLE pools_history (
    LIKE pools, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, bot, "group", since, until)
);
CREATE TABLE portfolio_history (
    LIKE portfolio, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, asset, since, until)
);
CREATE TABLE profit_and_loss_history (
    LIKE profit_and_loss, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, bot, "group", day, asset, since, until)
);
CREATE TABLE valuations_history (
    LIKE valuations, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, day, asset, since, until)
);
CREATE TABLE execution_pools_history (
    LIKE execution_pools, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, since, until)
);
CREATE TABLE pool_slots_history (
    LIKE pool_slots, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, bot, source, number, since, until)
);
CREATE TABLE queued_signals_history (
    LIKE queued_signals, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, bot, source, number, since, until)
);
CREATE TABLE risk_limits_history (
    LIKE risk_limits, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, since, until)
);
CREATE TABLE trading_halts_history (
    LIKE trading_halts, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, number, since, until)
);
CREATE TABLE offset_engines_history (
    LIKE offset_engines, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, since, until)
);
CREATE TABLE offset_groups_history (
    LIKE offset_groups, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, bot, "group", since, until)
);
CREATE TABLE offset_evaluations_history (
    LIKE offset_evaluations, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, number, since, until)
);
CREATE TABLE offsets_history (
    LIKE offsets, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (run, account, number, since, until)
);

-- The versions that still stand: what the next ones follow, each key once.
CREATE UNIQUE INDEX accounts_standing ON accounts_history (run, account)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX halts_standing ON halts_history (run, account, bot)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX bots_standing ON bots_history (run, bot)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX sources_standing ON sources_history (run, source)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX alerts_standing ON alerts_history (run, source, number)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX orders_standing ON orders_history (run, account, "order")
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX fills_standing ON fills_history (run, stream, version)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX position_groups_standing ON position_groups_history (run, bot, "group")
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX position_group_legs_standing ON position_group_legs_history (run, bot, "group", leg)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX instruments_standing ON instruments_history (run, account, instrument)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX positions_standing ON positions_history (run, account, instrument)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX pools_standing ON pools_history (run, account, instrument, bot, "group")
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX portfolio_standing ON portfolio_history (run, account, asset)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX profit_and_loss_standing ON profit_and_loss_history (run, account, instrument, bot, "group", day, asset)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX valuations_standing ON valuations_history (run, account, day, asset)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX execution_pools_standing ON execution_pools_history (run, account)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX pool_slots_standing ON pool_slots_history (run, account, bot, source, number)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX queued_signals_standing ON queued_signals_history (run, account, bot, source, number)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX risk_limits_standing ON risk_limits_history (run, account)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX trading_halts_standing ON trading_halts_history (run, account, number)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX offset_engines_standing ON offset_engines_history (run, account)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX offset_groups_standing ON offset_groups_history (run, account, bot, "group")
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX offset_evaluations_standing ON offset_evaluations_history (run, account, number)
    WHERE until = 9223372036854775807;
CREATE UNIQUE INDEX offsets_standing ON offsets_history (run, account, number)
    WHERE until = 9223372036854775807;

-- Lists as of a boundary, as those of now are read: newest first, or only what is open, held or waiting.
CREATE INDEX orders_history_by_time ON orders_history (run, intended_at, account COLLATE "C", "order", since, until);
CREATE INDEX orders_history_open ON orders_history (run, intended_at, account COLLATE "C", "order", since, until)
    WHERE status NOT IN ('DENIED', 'REJECTED', 'CANCELED', 'FILLED');
CREATE INDEX fills_history_by_time ON fills_history (run, at, stream, version, since, until);
CREATE INDEX groups_history_by_time
    ON position_groups_history (run, opened_at, bot COLLATE "C", "group", since, until);
CREATE INDEX groups_history_live
    ON position_groups_history (run, opened_at, bot COLLATE "C", "group", since, until) WHERE status <> 'closed';
CREATE INDEX alerts_history_by_time ON alerts_history (run, at, source COLLATE "C", number, since, until);
CREATE INDEX pools_history_held ON pools_history (run, since, until) WHERE quantity <> 0;
CREATE INDEX pool_slots_history_held ON pool_slots_history (run, account, since, until) WHERE held;
CREATE INDEX queued_signals_history_by_time
    ON queued_signals_history (run, account, queued_at, bot COLLATE "C", source COLLATE "C", number, since, until);
CREATE INDEX queued_signals_history_waiting ON queued_signals_history (run, account, since, until)
    WHERE status = 'waiting';
CREATE INDEX offset_groups_history_live ON offset_groups_history (run, account, since, until) WHERE live;

-- Sums by group, of which there are many: a page of them in their order, then and now.
CREATE INDEX profits_history_by_group ON profit_and_loss_history
    (run, account COLLATE "C", bot COLLATE "C", "group", asset COLLATE "C", since, until);
CREATE INDEX profits_by_group ON profit_and_loss
    (run, account COLLATE "C", bot COLLATE "C", "group", asset COLLATE "C");

GRANT SELECT, INSERT, UPDATE, DELETE ON
    accounts_history, halts_history, bots_history, sources_history, alerts_history, orders_history, fills_history,
    position_groups_history, position_group_legs_history, instruments_history, positions_history, pools_history,
    portfolio_history, profit_and_loss_history, valuations_history, execution_pools_history, pool_slots_history,
    queued_signals_history, risk_limits_history, trading_halts_history, offset_engines_history, offset_groups_history,
    offset_evaluations_history, offsets_history
TO truetape_writer;
