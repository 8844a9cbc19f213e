-- What sessions have printed, where the preferences say that the hub keeps it.
-- transcript: '' (not wanted), 'wanted' (nothing has come), 'partial', 'whole', or 'deleted' (too old, or too much).
ALTER TABLE session ADD COLUMN transcript TEXT NOT NULL DEFAULT '';
-- Bytes: what the node has, and what the hub keeps of it.
ALTER TABLE session ADD COLUMN transcript_size BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN transcript_bytes BIGINT NOT NULL DEFAULT 0;
-- Where in S3 the node puts it; empty if nowhere.
ALTER TABLE session ADD COLUMN output_url TEXT NOT NULL DEFAULT '';

CREATE TABLE session_transcript (
    session_id  TEXT NOT NULL,
    -- The first byte's number.
    position    BIGINT NOT NULL,
    -- Base64.
    data        TEXT NOT NULL,
    PRIMARY KEY (session_id, position)
);
