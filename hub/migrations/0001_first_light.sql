-- One schema for SQLite and PostgreSQL: TEXT, BIGINT and BYTEA-free (secrets are sealed, then
-- base64 in TEXT). Moments are milliseconds since 1970 in BIGINT. JSON is TEXT.

-- Facts about this hub itself: the account id.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Operators' keys. The secret is sealed under the master key.
CREATE TABLE access_key (
    id            TEXT PRIMARY KEY,
    sealed_secret TEXT NOT NULL,
    description   TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE activation (
    id                  TEXT PRIMARY KEY,
    code_hash           TEXT NOT NULL,
    description         TEXT,
    default_name        TEXT,
    iam_role            TEXT NOT NULL,
    registration_limit  BIGINT NOT NULL,
    registrations_count BIGINT NOT NULL,
    expires_at          BIGINT NOT NULL,
    created_at          BIGINT NOT NULL
);

-- activation_id outlives the activation, so it is no foreign key.
CREATE TABLE node (
    id                  TEXT PRIMARY KEY,
    activation_id       TEXT NOT NULL,
    name                TEXT,
    iam_role            TEXT NOT NULL,
    key_type            TEXT NOT NULL,
    public_key          TEXT NOT NULL,
    -- Accepted until the new key is used once.
    previous_key_type   TEXT,
    previous_public_key TEXT,
    fingerprint         TEXT NOT NULL,
    registered_at       BIGINT NOT NULL,
    last_ping_at        BIGINT,
    agent_name          TEXT,
    agent_version       TEXT,
    computer_name       TEXT,
    ip_address          TEXT,
    platform_type       TEXT,
    platform_name       TEXT,
    platform_version    TEXT,
    connection_channel  TEXT
);
CREATE INDEX node_by_activation ON node (activation_id);
CREATE UNIQUE INDEX node_by_key ON node (activation_id, public_key);

-- Temporary credentials of nodes.
CREATE TABLE node_credential (
    access_key_id TEXT PRIMARY KEY,
    node_id       TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    sealed_secret TEXT NOT NULL,
    token_hash    TEXT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX node_credential_by_node ON node_credential (node_id);

CREATE TABLE tag (
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    tag_key       TEXT NOT NULL,
    tag_value     TEXT NOT NULL,
    PRIMARY KEY (resource_type, resource_id, tag_key)
);
CREATE INDEX tag_by_value ON tag (resource_type, tag_key, tag_value);

-- What SendCommand was asked, and the rate control's own state.
CREATE TABLE command (
    id               TEXT PRIMARY KEY,
    region           TEXT NOT NULL,
    document_name    TEXT NOT NULL,
    document_version TEXT NOT NULL,
    -- The document as sent to nodes, so that a later version changes nothing under way.
    content          TEXT NOT NULL,
    comment          TEXT NOT NULL,
    parameters       TEXT NOT NULL,
    instance_ids     TEXT NOT NULL,
    targets          TEXT NOT NULL,
    max_concurrency  TEXT NOT NULL,
    max_errors       TEXT NOT NULL,
    timeout_seconds  BIGINT NOT NULL,
    -- The rest of the request that only comes back: roles, notifications, output locations.
    options          TEXT NOT NULL,
    requested_at     BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    status           TEXT NOT NULL,
    status_details   TEXT NOT NULL,
    target_count     BIGINT NOT NULL
);
CREATE INDEX command_by_time ON command (requested_at, id);
CREATE INDEX command_by_status ON command (status);

CREATE TABLE invocation (
    command_id      TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    node_id         TEXT NOT NULL,
    -- The order in which rate control releases them.
    position        BIGINT NOT NULL,
    requested_at    BIGINT NOT NULL,
    status          TEXT NOT NULL,
    status_details  TEXT NOT NULL,
    -- When rate control made it deliverable; a node is offered it from then on.
    released_at     BIGINT,
    -- Handed out and hidden until then, unless acknowledged.
    hidden_until    BIGINT,
    acknowledged_at BIGINT,
    started_at      BIGINT,
    finished_at     BIGINT,
    trace           TEXT NOT NULL,
    PRIMARY KEY (command_id, node_id)
);
CREATE INDEX invocation_by_node ON invocation (node_id, requested_at);
CREATE INDEX invocation_by_status ON invocation (status);

-- One row a step, merged from all replies.
CREATE TABLE invocation_step (
    command_id  TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    node_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    position    BIGINT NOT NULL,
    plugin      TEXT NOT NULL,
    status      TEXT NOT NULL,
    code        BIGINT NOT NULL,
    output      TEXT NOT NULL,
    stdout      TEXT NOT NULL,
    stderr      TEXT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (command_id, node_id, name)
);

-- A wish to cancel, delivered to the node as a message of its own.
CREATE TABLE cancellation (
    message_id      TEXT PRIMARY KEY,
    command_id      TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    node_id         TEXT NOT NULL,
    requested_at    BIGINT NOT NULL,
    hidden_until    BIGINT,
    acknowledged_at BIGINT
);
CREATE INDEX cancellation_by_node ON cancellation (node_id);

-- Replies already merged; a retry repeats its id.
CREATE TABLE reply_seen (
    id      TEXT PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
