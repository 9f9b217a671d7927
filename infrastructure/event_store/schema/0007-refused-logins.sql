-- How many logins of a user were refused since one was not: anybody may be refused, so not each is a row of the access log.
ALTER TABLE users ADD COLUMN refused bigint NOT NULL DEFAULT 0;
