-- session.offered_at is when the node was told first, from now on.
-- What a node has yet to be told of its sessions, which every look of its control channel asks for. The
-- sessions of more than a year stay in the table.
CREATE INDEX session_untold ON session (node_id, requested_at) WHERE end_told_at IS NULL;
