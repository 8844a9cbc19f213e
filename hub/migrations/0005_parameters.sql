-- Parameter Store. A parameter's row is what all of its versions share; the newest version's
-- policies are the ones in force.
CREATE TABLE parameter (
    name           TEXT PRIMARY KEY,
    parameter_type TEXT NOT NULL,
    tier           TEXT NOT NULL,
    data_type      TEXT NOT NULL,
    latest         BIGINT NOT NULL,
    -- When the next of the policies wants something done.
    policy_due_at  BIGINT
);
CREATE INDEX parameter_by_policy ON parameter (policy_due_at) WHERE policy_due_at IS NOT NULL;

CREATE TABLE parameter_version (
    name            TEXT NOT NULL REFERENCES parameter (name) ON DELETE CASCADE,
    version         BIGINT NOT NULL,
    -- Of a SecureString: sealed under the key that key_id names.
    value           TEXT NOT NULL,
    key_id          TEXT,
    tier            TEXT NOT NULL,
    data_type       TEXT NOT NULL,
    description     TEXT,
    allowed_pattern TEXT,
    policies        TEXT NOT NULL,
    modified_at     BIGINT NOT NULL,
    modified_by     TEXT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE parameter_label (
    name    TEXT NOT NULL,
    label   TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (name, label),
    FOREIGN KEY (name, version) REFERENCES parameter_version (name, version) ON DELETE CASCADE
);
CREATE INDEX parameter_label_by_version ON parameter_label (name, version);

-- What nodes of a role may read. Patterns and conditions are JSON lists of text.
CREATE TABLE role_rule (
    role            TEXT NOT NULL,
    name            TEXT NOT NULL,
    read_parameters TEXT NOT NULL,
    conditions      TEXT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (role, name)
);
