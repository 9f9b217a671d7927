-- Who may use the API and what may call its webhooks. None of this is on the log. Passwords are kept as argon2id hashes,
-- refresh tokens and webhook tokens as SHA-256; times are microseconds since 1970.

CREATE TABLE users (
    name          text    PRIMARY KEY,
    role          text    NOT NULL CHECK (role IN ('viewer', 'auditor', 'trader', 'admin')),
    password_hash text    NOT NULL,
    disabled      boolean NOT NULL DEFAULT false,
    created_at    bigint  NOT NULL
);

-- A session is one login and all the refresh tokens that follow from it; once it has ended none of them counts.
CREATE TABLE sessions (
    session    text   PRIMARY KEY,
    "user"     text   NOT NULL REFERENCES users,
    created_at bigint NOT NULL,
    ended_at   bigint
);
CREATE INDEX live_sessions ON sessions ("user") WHERE ended_at IS NULL;

CREATE TABLE refresh_tokens (
    token_hash bytea  PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    session    text   NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at bigint NOT NULL,
    used_at    bigint
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

-- A webhook is a source of alerts of one bot of one run; its id is the source's name on the log.
CREATE TABLE webhooks (
    webhook    text   PRIMARY KEY,
    run        bigint NOT NULL REFERENCES runs,
    bot        text   NOT NULL,
    created_at bigint NOT NULL,
    ended_at   bigint
);
CREATE UNIQUE INDEX live_webhook_of_bot ON webhooks (run, bot) WHERE ended_at IS NULL;

-- Its tokens, newest generation last; one that has been replaced may stay good until `ends_at`.
CREATE TABLE webhook_tokens (
    webhook    text    NOT NULL REFERENCES webhooks,
    generation integer NOT NULL CHECK (generation > 0),
    token_hash bytea   NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at bigint  NOT NULL,
    ends_at    bigint,
    PRIMARY KEY (webhook, generation)
);

-- Deliveries that nobody may make: the latest 1,000, with the shape of their first characters and none of their words.
CREATE TABLE unauthorized_deliveries (
    id      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint  NOT NULL,
    address text    NOT NULL,
    webhook text, -- where the token was good and the secret was not
    reason  text    NOT NULL,
    length  integer NOT NULL,
    prefix  text    NOT NULL
);

-- Which request an idempotency key stands for, so that another request under the same key is told apart.
CREATE TABLE idempotency_keys (
    actor       text  NOT NULL,
    key         text  NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    PRIMARY KEY (actor, key)
);

-- What was done about access: logins, sessions, users, webhooks. What was done about trading is on the log.
CREATE TABLE access_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint NOT NULL,
    actor   text   NOT NULL,
    action  text   NOT NULL,
    subject text   NOT NULL,
    address text   NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE access_log ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT, UPDATE ON users, webhooks, webhook_tokens TO truetape_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, refresh_tokens, unauthorized_deliveries TO truetape_writer;
GRANT SELECT, INSERT ON access_log, idempotency_keys TO truetape_writer;
