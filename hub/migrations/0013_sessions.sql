-- Sessions: who opened what on which node, when and why, and how much went through. They stay when
-- a node is deregistered.
CREATE TABLE session (
    id                TEXT PRIMARY KEY,
    node_id           TEXT NOT NULL,
    access_key        TEXT NOT NULL,
    owner             TEXT NOT NULL,
    reason            TEXT NOT NULL,
    document_name     TEXT NOT NULL,
    -- JSON: what the node is told.
    content           TEXT NOT NULL,
    -- The words of the service.
    status            TEXT NOT NULL,
    -- Why it ended, for people.
    details           TEXT NOT NULL,
    requested_at      BIGINT NOT NULL,
    -- When the node was told last.
    offered_at        BIGINT,
    -- When the node's end came first.
    joined_at         BIGINT,
    -- When something went through last.
    used_at           BIGINT NOT NULL,
    -- When somebody or a limit wanted its end, and when the node was told.
    end_wanted_at     BIGINT,
    end_told_at       BIGINT,
    ended_at          BIGINT,
    idle_seconds      BIGINT NOT NULL,
    -- 0 for no limit.
    longest_seconds   BIGINT NOT NULL,
    -- Of the token with which the client may come; none once it has been used.
    token_hash        TEXT,
    token_until       BIGINT,
    -- Bytes of what was typed and shown.
    bytes_in          BIGINT NOT NULL DEFAULT 0,
    bytes_out         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX session_open ON session (ended_at, node_id);
CREATE INDEX session_requested ON session (requested_at);

-- What an operator's key may open; `*` is every key. Without any row everything.
CREATE TABLE session_rule (
    access_key  TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- JSON: documents, and conditions on the node's tags.
    documents   TEXT NOT NULL,
    conditions  TEXT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (access_key, name)
);
