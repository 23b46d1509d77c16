-- Times are microseconds since the Unix epoch, UTC. Texts compare by their bytes.

-- Counts over the whole life of a run; purging leaves them, except `executions`, which counts what is on file.
CREATE TABLE run_totals (
    run                  TEXT PRIMARY KEY,
    executions           INTEGER NOT NULL DEFAULT 0,
    cases_opened         INTEGER NOT NULL DEFAULT 0,
    cases_quarantined    INTEGER NOT NULL DEFAULT 0,
    cases_healed         INTEGER NOT NULL DEFAULT 0,
    healings_succeeded   INTEGER NOT NULL DEFAULT 0,
    healings_failed      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- One row per agent with a record of vitals, kept up by the triggers below so that counting never scans vitals.
CREATE TABLE agents (
    id                   INTEGER PRIMARY KEY,
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    executions           INTEGER NOT NULL,
    first_received_at    INTEGER NOT NULL,
    last_received_at     INTEGER NOT NULL,
    UNIQUE (run, agent)
) STRICT;
CREATE INDEX agents_seen ON agents (run, last_received_at);

CREATE TABLE vitals (
    id                   INTEGER PRIMARY KEY,
    agent_id             INTEGER NOT NULL REFERENCES agents (id),
    execution            TEXT NOT NULL,
    revision             INTEGER NOT NULL,
    started_at           INTEGER NOT NULL,
    timestamp            INTEGER NOT NULL,
    received_at          INTEGER NOT NULL,
    latency_ms           REAL,              -- NULL stands for "not a number"
    input_tokens         INTEGER,           -- tokens above 2^63 - 1 wrap to negative numbers and back
    output_tokens        INTEGER,
    token_count          INTEGER,
    tool_calls           INTEGER,
    retries              INTEGER,
    success              INTEGER NOT NULL,
    completeness         TEXT NOT NULL,
    source               TEXT NOT NULL,
    context              TEXT NOT NULL,
    UNIQUE (agent_id, execution)
) STRICT;
CREATE INDEX vitals_in_time ON vitals (agent_id, timestamp);
CREATE INDEX vitals_by_reception ON vitals (agent_id, received_at);

CREATE TRIGGER vitals_added AFTER INSERT ON vitals BEGIN
    UPDATE agents
       SET executions = executions + 1,
           first_received_at = min(first_received_at, NEW.received_at),
           last_received_at = max(last_received_at, NEW.received_at)
     WHERE id = NEW.agent_id;
    UPDATE run_totals SET executions = executions + 1
     WHERE run = (SELECT run FROM agents WHERE id = NEW.agent_id);
END;

CREATE TRIGGER vitals_revised AFTER UPDATE OF received_at ON vitals WHEN NEW.received_at <> OLD.received_at BEGIN
    UPDATE agents
       SET first_received_at = min(first_received_at, NEW.received_at),
           last_received_at = (SELECT max(received_at) FROM vitals WHERE agent_id = NEW.agent_id)
     WHERE id = NEW.agent_id;
END;

CREATE TRIGGER vitals_removed AFTER DELETE ON vitals BEGIN
    UPDATE run_totals SET executions = executions - 1
     WHERE run = (SELECT run FROM agents WHERE id = OLD.agent_id);
    UPDATE agents
       SET executions = executions - 1,
           last_received_at = CASE
               WHEN OLD.received_at < last_received_at THEN last_received_at
               ELSE coalesce((SELECT max(received_at) FROM vitals WHERE agent_id = OLD.agent_id), last_received_at)
           END
     WHERE id = OLD.agent_id;
    DELETE FROM agents WHERE id = OLD.agent_id AND executions = 0;
END;

CREATE TABLE profiles (
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    version              INTEGER NOT NULL,
    is_ready             INTEGER NOT NULL,
    profile              TEXT NOT NULL,
    learner              TEXT NOT NULL,
    PRIMARY KEY (run, agent)
) STRICT;
CREATE INDEX profiles_ready ON profiles (run) WHERE is_ready = 1;

CREATE TABLE cases (
    id                   TEXT PRIMARY KEY,
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    version              INTEGER NOT NULL,
    state                TEXT NOT NULL,
    is_open              INTEGER NOT NULL,
    is_unsettled         INTEGER NOT NULL,
    was_quarantined      INTEGER NOT NULL,
    opened_at            INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    due_at               INTEGER,
    closed_at            INTEGER,
    body                 TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX cases_one_open ON cases (run, agent) WHERE is_open = 1;
CREATE INDEX cases_open ON cases (opened_at, id) WHERE is_open = 1;
CREATE INDEX cases_newest ON cases (opened_at, id);
CREATE INDEX cases_of_run ON cases (run, opened_at, id);
CREATE INDEX cases_of_agent ON cases (run, agent, opened_at, id);
CREATE INDEX cases_due ON cases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX cases_unsettled ON cases (updated_at, id) WHERE is_unsettled = 1;
CREATE INDEX cases_closed ON cases (closed_at) WHERE closed_at IS NOT NULL;

-- Which reports have led to which case, so that a report that is delivered again opens no second one.
CREATE TABLE case_infections (
    infection            TEXT PRIMARY KEY,
    case_id              TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX case_infections_of_case ON case_infections (case_id);

-- AUTOINCREMENT, here and below: a place in the order is never used again, also after purging.
CREATE TABLE events (
    sequence             INTEGER PRIMARY KEY AUTOINCREMENT,
    at                   INTEGER NOT NULL,
    kind                 TEXT NOT NULL,
    case_id              TEXT NOT NULL,
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    text                 TEXT NOT NULL,
    payload              TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);

CREATE TABLE action_log (
    sequence             INTEGER PRIMARY KEY AUTOINCREMENT,
    run                  TEXT NOT NULL,
    at                   INTEGER NOT NULL,
    kind                 TEXT NOT NULL,
    agent                TEXT,
    actor                TEXT NOT NULL,
    outcome              TEXT NOT NULL,
    payload              TEXT NOT NULL
) STRICT;
CREATE INDEX action_log_of_run ON action_log (run, sequence);
CREATE INDEX action_log_by_time ON action_log (at);
CREATE TRIGGER action_log_is_never_changed BEFORE UPDATE ON action_log BEGIN
    SELECT RAISE(ABORT, 'the action log is append-only');
END;

CREATE TABLE healings (
    id                   TEXT PRIMARY KEY,
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    case_id              TEXT NOT NULL,
    started_at           INTEGER NOT NULL,
    is_ended             INTEGER NOT NULL,
    body                 TEXT NOT NULL
) STRICT;
CREATE INDEX healings_newest ON healings (started_at, id);
CREATE INDEX healings_of_run ON healings (run, started_at, id);
CREATE INDEX healings_of_agent ON healings (run, agent, started_at, id);
CREATE INDEX healings_of_case ON healings (case_id, started_at, id);

CREATE TABLE memories (
    run                  TEXT NOT NULL,
    agent                TEXT NOT NULL,
    diagnosis            TEXT NOT NULL,
    action               TEXT NOT NULL,
    successes            INTEGER NOT NULL,
    failures             INTEGER NOT NULL,
    last_at              INTEGER NOT NULL,
    pin                  TEXT,
    PRIMARY KEY (run, agent, diagnosis, action)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_records (
    sequence             INTEGER PRIMARY KEY AUTOINCREMENT,
    run                  TEXT NOT NULL,
    kind                 TEXT NOT NULL,
    agent                TEXT NOT NULL,
    at                   INTEGER NOT NULL,
    body                 TEXT NOT NULL
) STRICT;
CREATE INDEX client_records_of_kind ON client_records (run, kind, sequence);
CREATE INDEX client_records_of_agent ON client_records (run, kind, agent, sequence);
CREATE INDEX client_records_by_time ON client_records (at);

CREATE TABLE client_latest (
    run                  TEXT NOT NULL,
    kind                 TEXT NOT NULL,
    agent                TEXT NOT NULL,
    sequence             INTEGER NOT NULL REFERENCES client_records (sequence) ON DELETE CASCADE,
    PRIMARY KEY (run, kind, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_latest_record ON client_latest (sequence);

CREATE TABLE runs (
    run                  TEXT PRIMARY KEY,
    known_at             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_newest ON runs (known_at);
