-- Lines of the nodes' audit logs, as they came. They stay when a node is deregistered.
CREATE TABLE audit_record (
    node_id     TEXT NOT NULL,
    -- The order in which the hub got them, per node, counted from 1.
    position    BIGINT NOT NULL,
    -- The number that the node gave; 0 for a line that can't be read.
    number      BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    line        TEXT NOT NULL,
    PRIMARY KEY (node_id, position)
);
