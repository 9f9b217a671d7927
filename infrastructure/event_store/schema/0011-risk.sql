-- The limits in force on each account and its halts, as `projections/risk.py` folds them.

CREATE TABLE risk_limits (
    run     bigint NOT NULL,
    account text   NOT NULL,
    version bigint NOT NULL,
    limits  text   NOT NULL,
    set_at  bigint NOT NULL,
    PRIMARY KEY (run, account)
);

CREATE TABLE trading_halts (
    run        bigint NOT NULL,
    account    text   NOT NULL,
    number     bigint NOT NULL,
    bot        text   NOT NULL,
    state      text   NOT NULL,
    code       text   NOT NULL,
    reason     text   NOT NULL,
    halted_at  bigint NOT NULL,
    resumed_at bigint,
    PRIMARY KEY (run, account, number)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON risk_limits, trading_halts TO truetape_writer;
