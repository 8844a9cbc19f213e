-- What speaks the BootAgent protocol. Such a node has a row in `node` like every other.
CREATE TABLE boot_agent (
    node_id     TEXT PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
    -- The id that the agent shows; of a node without a key the only thing that tells it apart.
    agentsn     TEXT NOT NULL,
    -- 1: a node that signs. 0: a founding agent, which can't.
    signed      BIGINT NOT NULL,
    -- 1: nothing but this protocol reaches it. 0: it polls for messages too, and gets its
    -- commands there.
    only_this   BIGINT NOT NULL,
    -- Where the agent's last report came from.
    peer        TEXT NOT NULL,
    -- As it says in `version`; empty if it doesn't.
    arch        TEXT NOT NULL,
    -- Seconds between two reports.
    step        BIGINT NOT NULL,
    feature     BIGINT NOT NULL,
    -- The ids of the server keys that it trusts, with commas.
    pins        TEXT NOT NULL
);
CREATE UNIQUE INDEX boot_agent_by_agentsn ON boot_agent (agentsn);

-- Keys that answers are signed with. The secret is sealed under the master key.
CREATE TABLE server_key (
    id            TEXT PRIMARY KEY,
    public_key    TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);

-- Nonces of signed requests, for as long as a request may be old.
CREATE TABLE nonce_seen (
    node_id TEXT NOT NULL,
    nonce   TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (node_id, nonce)
);
CREATE INDEX nonce_seen_by_time ON nonce_seen (seen_at);

-- What an invocation is called on a node of this protocol. Results name nothing else.
CREATE TABLE boot_job (
    id          TEXT PRIMARY KEY,
    command_id  TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    node_id     TEXT NOT NULL,
    handed_out  BIGINT NOT NULL,
    -- The job as it was handed out: what comes again under this id is the same.
    job         TEXT NOT NULL,
    -- The package that its URL leads to, and until when; empty and 0 if it is none of the hub's.
    hash        TEXT NOT NULL,
    file_name   TEXT NOT NULL,
    link_until  BIGINT NOT NULL
);
CREATE UNIQUE INDEX boot_job_by_invocation ON boot_job (command_id, node_id);

CREATE TABLE child_event (
    node_id     TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    -- The node's own: seconds since 1970, and a number that rises.
    happened_at BIGINT NOT NULL,
    local_id    BIGINT NOT NULL,
    category    TEXT NOT NULL,
    child       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    message     TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (node_id, happened_at, local_id)
);
CREATE INDEX child_event_by_time ON child_event (received_at);

-- Inventory: for each node and type the whole of what was put last.
CREATE TABLE inventory_item (
    node_id        TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    type_name      TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    capture_time   TEXT NOT NULL,
    content_hash   TEXT,
    -- JSON: a list of objects with values that are texts.
    content        TEXT NOT NULL,
    PRIMARY KEY (node_id, type_name)
);
CREATE INDEX inventory_item_by_type ON inventory_item (type_name, node_id);

-- Packages of child agents. The bytes are beside those of attachments, named by their hash.
CREATE TABLE package (
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- `any` for one that runs everywhere.
    arch       TEXT NOT NULL,
    file_name  TEXT NOT NULL,
    hash       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version, arch)
);
CREATE INDEX package_by_hash ON package (hash);

-- Contents that links lead to, and until when: they outlive the package that named them.
CREATE TABLE promised_content (
    hash  TEXT PRIMARY KEY,
    until BIGINT NOT NULL
);
