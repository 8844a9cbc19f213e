-- Operators' own documents. The built-in ones are part of the program.
CREATE TABLE document (
    name            TEXT PRIMARY KEY,
    document_type   TEXT NOT NULL,
    default_version BIGINT NOT NULL,
    -- The highest number ever given: a deleted version's number does not come again.
    last_version    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE document_version (
    name            TEXT NOT NULL REFERENCES document (name) ON DELETE CASCADE,
    version         BIGINT NOT NULL,
    version_name    TEXT,
    display_name    TEXT,
    document_format TEXT NOT NULL,
    -- As the operator wrote it; the hash is of this text.
    content         TEXT NOT NULL,
    -- The same as JSON where it was written as YAML: what nodes get.
    converted       TEXT,
    hash            TEXT NOT NULL,
    description     TEXT,
    schema_version  TEXT,
    -- JSON: a list of names.
    platforms       TEXT NOT NULL,
    target_type     TEXT,
    -- JSON: the request's list.
    requires        TEXT NOT NULL,
    -- JSON: name, hash and size of each file in the attachment store.
    attachments     TEXT NOT NULL,
    -- Of change templates only.
    review_status   TEXT,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX document_version_by_name ON document_version (name, version_name);

CREATE TABLE document_permission (
    name           TEXT NOT NULL REFERENCES document (name) ON DELETE CASCADE,
    -- Twelve digits or `all`.
    account_id     TEXT NOT NULL,
    shared_version TEXT NOT NULL,
    PRIMARY KEY (name, account_id)
);

CREATE TABLE document_review (
    name        TEXT NOT NULL,
    version     BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    status      TEXT NOT NULL,
    reviewer    TEXT NOT NULL,
    comments    TEXT NOT NULL,
    reviewed_at BIGINT NOT NULL,
    PRIMARY KEY (name, version, position),
    FOREIGN KEY (name, version) REFERENCES document_version (name, version) ON DELETE CASCADE
);

-- The index of the attachment store. The bytes are files of the data directory, named by their
-- hash, so that a file that is put again changes no document.
CREATE TABLE attachment (
    -- FOLDER/FILE
    path       TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,
    size       BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
