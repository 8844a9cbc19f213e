-- A node's poll looks only for what it has not acknowledged, however long its history is.
CREATE INDEX invocation_waiting ON invocation (node_id)
    WHERE acknowledged_at IS NULL AND finished_at IS NULL;
CREATE INDEX cancellation_waiting ON cancellation (node_id) WHERE acknowledged_at IS NULL;
-- Pruned by age.
CREATE INDEX reply_seen_by_time ON reply_seen (seen_at);
CREATE INDEX node_credential_by_expiry ON node_credential (expires_at);
