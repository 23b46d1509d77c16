-- What each outgoing target has still to be told.
CREATE TABLE notification_targets (
    name                 TEXT PRIMARY KEY,
    cursor               INTEGER NOT NULL,
    fence                INTEGER NOT NULL,
    held_by              TEXT,
    held_until           INTEGER,
    delivered            INTEGER NOT NULL DEFAULT 0,
    last_delivered_at    INTEGER,
    last_error           TEXT,
    last_error_at        INTEGER,
    failing_since        INTEGER
) STRICT, WITHOUT ROWID;

-- A row lives until it is delivered; `died_at` makes it a dead letter.
CREATE TABLE notifications (
    id                   TEXT PRIMARY KEY,
    target               TEXT NOT NULL,
    sequence             INTEGER NOT NULL,
    case_id              TEXT NOT NULL,
    taken_at             INTEGER NOT NULL,
    due_at               INTEGER NOT NULL,
    attempts             INTEGER NOT NULL,
    last_error           TEXT,
    died_at              INTEGER,
    event                TEXT NOT NULL
) STRICT;
CREATE INDEX notifications_waiting ON notifications (target, sequence, id) WHERE died_at IS NULL;
CREATE INDEX notifications_of_case ON notifications (target, case_id, sequence) WHERE died_at IS NULL;
CREATE INDEX notifications_dead ON notifications (target, died_at, id) WHERE died_at IS NOT NULL;

-- What deliveries have left for later ones of the same case, such as the id of a message to change.
CREATE TABLE notification_receipts (
    target               TEXT NOT NULL,
    case_id              TEXT NOT NULL,
    at                   INTEGER NOT NULL,
    receipt              TEXT NOT NULL,
    PRIMARY KEY (target, case_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notification_receipts_by_time ON notification_receipts (at);
