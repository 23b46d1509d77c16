-- Who may come in. Secrets are never here: keys and sessions are known by the SHA-256 of theirs.
CREATE TABLE access_keys (
    id                   TEXT PRIMARY KEY,
    name                 TEXT NOT NULL,
    hash                 BLOB NOT NULL,
    role                 TEXT NOT NULL,
    runs                 TEXT NOT NULL,
    created_at           INTEGER NOT NULL,
    created_by           TEXT NOT NULL,
    expires_at           INTEGER,
    revoked_at           INTEGER,
    revoked_by           TEXT,
    last_used_at         INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX access_keys_by_name ON access_keys (name);

-- Has its one row since the first key was added: the first key is made once, also after it was purged.
CREATE TABLE access_began (
    one                  INTEGER PRIMARY KEY CHECK (one = 1)
) STRICT;

CREATE TABLE access_sessions (
    hash                 BLOB PRIMARY KEY,
    subject              TEXT NOT NULL,
    via                  TEXT NOT NULL,
    name                 TEXT NOT NULL,
    role                 TEXT NOT NULL,
    runs                 TEXT NOT NULL,
    provider_session     TEXT,
    provider_subject     TEXT,
    id_token             TEXT,
    created_at           INTEGER NOT NULL,
    seen_at              INTEGER NOT NULL,
    ends_at              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_sessions_of_subject ON access_sessions (via, subject, seen_at);
CREATE INDEX access_sessions_at_provider ON access_sessions (provider_session) WHERE provider_session IS NOT NULL;
CREATE INDEX access_sessions_of_person ON access_sessions (provider_subject) WHERE provider_subject IS NOT NULL;

-- Secrets that replicas share (signing of cookies).
CREATE TABLE access_secrets (
    name                 TEXT PRIMARY KEY,
    secret               BLOB NOT NULL
) STRICT, WITHOUT ROWID;
