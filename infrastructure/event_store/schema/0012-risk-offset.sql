-- Risk offsets: settings, the groups they watch, evaluations and what became of each, as `projections/offsets.py` folds them.

CREATE TABLE offset_engines (
    run                    bigint  NOT NULL,
    account                text    NOT NULL,
    settings_version       bigint  NOT NULL,
    enabled                boolean NOT NULL,
    loss_threshold_pct     text    NOT NULL,
    require_full_pyramids  boolean NOT NULL,
    post_full_wait_minutes bigint  NOT NULL,
    timer_start            text    NOT NULL,
    reset_on_replacement   boolean NOT NULL,
    minimum_age_minutes    bigint,
    evaluate_seconds       bigint  NOT NULL,
    cost_margin_pct        text    NOT NULL,
    configured_at          bigint  NOT NULL,
    skip                   boolean NOT NULL,
    "offset"               bigint  NOT NULL,
    evaluation             bigint  NOT NULL,
    under_way              bigint  NOT NULL,
    PRIMARY KEY (run, account)
);

CREATE TABLE offset_groups (
    run          bigint  NOT NULL,
    account      text    NOT NULL,
    bot          text    NOT NULL,
    "group"      bigint  NOT NULL,
    opened_at    bigint  NOT NULL,
    entered_at   bigint  NOT NULL,
    max_pyramids bigint  NOT NULL,
    finished_at  bigint,
    restarted_at bigint,
    blocked      boolean NOT NULL,
    live         boolean NOT NULL,
    PRIMARY KEY (run, account, bot, "group")
);

CREATE TABLE offset_evaluations (
    run              bigint NOT NULL,
    account          text   NOT NULL,
    number           bigint NOT NULL,
    at               bigint NOT NULL,
    settings_version bigint NOT NULL,
    outcome          text   NOT NULL,
    needed           bigint NOT NULL,
    available        bigint NOT NULL,
    losers_count     bigint NOT NULL,
    losers           text   NOT NULL,
    winners_count    bigint NOT NULL,
    winners          text   NOT NULL,
    PRIMARY KEY (run, account, number)
);

CREATE TABLE offsets (
    run              bigint NOT NULL,
    account          text   NOT NULL,
    number           bigint NOT NULL,
    bot              text   NOT NULL,
    "group"          bigint NOT NULL,
    instrument       text   NOT NULL,
    settings_version bigint NOT NULL,
    chosen_at        bigint NOT NULL,
    needed           bigint NOT NULL,
    losers           text   NOT NULL,
    parts            text   NOT NULL,
    status           text   NOT NULL,
    step             bigint NOT NULL,
    paid             bigint NOT NULL,
    lost             bigint NOT NULL,
    ended_at         bigint,
    code             text,
    reason           text,
    PRIMARY KEY (run, account, number)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON offset_engines, offset_groups, offset_evaluations, offsets TO truetape_writer;

CREATE INDEX offset_groups_live ON offset_groups (run, account) WHERE live;
