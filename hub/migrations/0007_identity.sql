-- 1: the node is told to change its key when it next asks for credentials.
ALTER TABLE node ADD COLUMN rotate_key BIGINT NOT NULL DEFAULT 0;
-- How often, in the last day, a device was heard again after another had been heard with the same
-- key; and when last.
ALTER TABLE node ADD COLUMN returns BIGINT NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN returned_at BIGINT;

-- What showed a node's key lately: each run of an agent, or each fingerprint of one that doesn't
-- name its run.
CREATE TABLE node_sighting (
    node_id       TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    -- `run` or `fingerprint`.
    kind          TEXT NOT NULL,
    mark          TEXT NOT NULL,
    -- What the device is made of, as a digest; empty if it doesn't say.
    hardware      TEXT NOT NULL,
    computer_name TEXT NOT NULL,
    ip_address    TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    PRIMARY KEY (node_id, kind, mark)
);

-- Orders to devices to register again, as another node.
CREATE TABLE reidentification (
    node_id       TEXT PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
    activation_id TEXT NOT NULL,
    -- The activation's code, sealed.
    sealed_code   TEXT NOT NULL,
    -- The run or the hardware of the device that is meant; empty: the first that is heard, whose
    -- mark is put here then.
    device        TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX reidentification_by_activation ON reidentification (activation_id);
