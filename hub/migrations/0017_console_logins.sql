-- Who is logged in with a browser. A log-in of before the hub's last start is as good as any.
CREATE TABLE console_login (
    -- The digest of its token.
    id           TEXT PRIMARY KEY,
    access_key   TEXT NOT NULL,
    -- The digest of the secret that was shown.
    secret_hash  TEXT NOT NULL,
    since        BIGINT NOT NULL,
    used_at      BIGINT NOT NULL
);
-- The log-in whose browser was given the way to the session last, and with which the session ends; empty if none was.
ALTER TABLE session ADD COLUMN login TEXT NOT NULL DEFAULT '';
