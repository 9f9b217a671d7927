-- The read models: folds of the log, which can be folded again at any time. One table for each row of `projections/`,
-- its columns the row's fields behind the run. Amounts are quanta, times microseconds since 1970, exact decimals text.

-- As the eventsourcing library's tracking recorder expects it: one row for each projection and its schema version, with
-- the position of the last record that is in its tables.
CREATE TABLE notification_tracking (
    application_name text PRIMARY KEY,
    notification_id  bigint
);
INSERT INTO notification_tracking VALUES ('__migration__', 1); -- the library's mark of a table of this form

CREATE TABLE alerts (
    run        bigint NOT NULL,
    source     text   NOT NULL,
    number     bigint NOT NULL,
    at         bigint NOT NULL,
    body       text   NOT NULL,
    verdict    text   NOT NULL,
    alert_id   text,
    alert_at   bigint,
    instrument text,
    timeframe  text,
    action     text,
    price      text,
    bot        text,
    "group"    bigint,
    code       text,
    reason     text,
    PRIMARY KEY (run, source, number)
);

CREATE TABLE orders (
    run           bigint  NOT NULL,
    account       text    NOT NULL,
    "order"       bigint  NOT NULL,
    bot           text    NOT NULL,
    "group"       bigint  NOT NULL,
    leg           bigint  NOT NULL,
    role          text    NOT NULL,
    instrument    text    NOT NULL,
    side          text    NOT NULL,
    type          text    NOT NULL,
    quantity      bigint  NOT NULL,
    "limit"       bigint,
    stop          bigint,
    reference     bigint  NOT NULL,
    reduce_only   boolean NOT NULL,
    intended_at   bigint  NOT NULL,
    updated_at    bigint  NOT NULL,
    status        text    NOT NULL,
    notional      bigint,
    reserved      bigint,
    venue_order   text,
    filled        bigint  NOT NULL,
    cash          bigint  NOT NULL,
    fee           bigint  NOT NULL,
    fee_asset     text,
    fee_value     bigint  NOT NULL,
    cancel_wanted boolean NOT NULL,
    excess        bigint  NOT NULL,
    missing       bigint  NOT NULL,
    unmatched     bigint  NOT NULL,
    code          text,
    reason        text,
    PRIMARY KEY (run, account, "order")
);

CREATE TABLE fills (
    run        bigint NOT NULL,
    stream     bigint NOT NULL,
    version    bigint NOT NULL,
    at         bigint NOT NULL,
    account    text   NOT NULL,
    "order"    bigint NOT NULL,
    bot        text   NOT NULL,
    "group"    bigint NOT NULL,
    leg        bigint NOT NULL,
    role       text   NOT NULL,
    instrument text   NOT NULL,
    side       text   NOT NULL,
    price      bigint NOT NULL,
    quantity   bigint NOT NULL,
    cash       bigint NOT NULL,
    received   bigint NOT NULL,
    fee        bigint NOT NULL,
    fee_asset  text   NOT NULL,
    fee_value  bigint NOT NULL,
    liquidity  text   NOT NULL,
    trade      text   NOT NULL,
    venue_at   bigint NOT NULL,
    remaining  bigint NOT NULL,
    PRIMARY KEY (run, stream, version)
);

CREATE TABLE position_groups (
    run        bigint NOT NULL,
    bot        text   NOT NULL,
    "group"    bigint NOT NULL,
    account    text   NOT NULL,
    instrument text   NOT NULL,
    direction  text   NOT NULL,
    entry      text   NOT NULL,
    legs       bigint NOT NULL,
    when_flat  text   NOT NULL,
    opened_at  bigint NOT NULL,
    status     text   NOT NULL,
    held       bigint NOT NULL,
    cost       bigint NOT NULL,
    realized   bigint NOT NULL,
    fees       bigint NOT NULL,
    closed_at  bigint,
    reason     text,
    PRIMARY KEY (run, bot, "group")
);

CREATE TABLE position_group_legs (
    run             bigint NOT NULL,
    bot             text   NOT NULL,
    "group"         bigint NOT NULL,
    leg             bigint NOT NULL,
    type            text   NOT NULL,
    price           bigint NOT NULL,
    quantity        bigint NOT NULL,
    take_profit_pct text   NOT NULL,
    status          text   NOT NULL,
    filled          bigint NOT NULL,
    cost            bigint NOT NULL,
    held            bigint NOT NULL,
    target_price    bigint,
    target_working  bigint NOT NULL,
    target_filled   bigint NOT NULL,
    reason          text,
    PRIMARY KEY (run, bot, "group", leg)
);

CREATE TABLE instruments (
    run              bigint NOT NULL,
    account          text   NOT NULL,
    instrument       text   NOT NULL,
    base             text   NOT NULL,
    quote            text   NOT NULL,
    price_scale      bigint NOT NULL,
    size_scale       bigint NOT NULL,
    quote_scale      bigint NOT NULL,
    tick             bigint NOT NULL,
    step             bigint NOT NULL,
    minimum_notional bigint NOT NULL,
    fee_asset        text   NOT NULL,
    maker_fee        text   NOT NULL,
    taker_fee        text   NOT NULL,
    slippage         text   NOT NULL,
    PRIMARY KEY (run, account, instrument)
);

CREATE TABLE positions (
    run        bigint NOT NULL,
    account    text   NOT NULL,
    instrument text   NOT NULL,
    quantity   bigint NOT NULL,
    cost       bigint NOT NULL,
    mark       bigint,
    unrealized bigint NOT NULL,
    PRIMARY KEY (run, account, instrument)
);

CREATE TABLE pools (
    run        bigint NOT NULL,
    account    text   NOT NULL,
    instrument text   NOT NULL,
    bot        text   NOT NULL,
    "group"    bigint NOT NULL,
    quantity   bigint NOT NULL,
    cost       bigint NOT NULL,
    realized   bigint NOT NULL,
    fees       bigint NOT NULL,
    funding    bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, bot, "group")
);

CREATE TABLE portfolio (
    run             bigint NOT NULL,
    account         text   NOT NULL,
    asset           text   NOT NULL,
    deposited       bigint NOT NULL,
    cash            bigint NOT NULL,
    positions_value bigint NOT NULL,
    unrealized      bigint NOT NULL,
    equity          bigint NOT NULL,
    PRIMARY KEY (run, account, asset)
);

CREATE TABLE profit_and_loss (
    run        bigint NOT NULL,
    account    text   NOT NULL,
    instrument text   NOT NULL,
    bot        text   NOT NULL,
    "group"    bigint NOT NULL,
    day        text   NOT NULL,
    asset      text   NOT NULL,
    realized   bigint NOT NULL,
    fees       bigint NOT NULL,
    turnover   bigint NOT NULL,
    fills      bigint NOT NULL,
    PRIMARY KEY (run, account, instrument, bot, "group", day, asset)
);

CREATE TABLE valuations (
    run        bigint NOT NULL,
    account    text   NOT NULL,
    day        text   NOT NULL,
    asset      text   NOT NULL,
    at         bigint NOT NULL,
    equity     bigint NOT NULL,
    unrealized bigint NOT NULL,
    PRIMARY KEY (run, account, day, asset)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    notification_tracking, alerts, orders, fills, position_groups, position_group_legs, instruments, positions, pools,
    portfolio, profit_and_loss, valuations
TO truetape_writer;

-- A rebuild folds into temporary tables beside the rows that are read meanwhile.
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO truetape_writer', current_database());
END
$$;
