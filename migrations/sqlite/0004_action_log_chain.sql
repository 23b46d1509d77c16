-- The action log becomes a chain: each row holds the hash of itself and of all before it (services/store/src/action_log.rs
-- has the form). Rows from before this migration are chained when the file is opened next.

ALTER TABLE action_log ADD COLUMN hash BLOB;

-- The last link that was made. Every row after it is without a hash.
CREATE TABLE action_log_head (
    is_only              INTEGER PRIMARY KEY CHECK (is_only = 1),
    sequence             INTEGER NOT NULL,
    hash                 BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO action_log_head (is_only, sequence, hash) VALUES (1, 0, zeroblob(32));

-- Nothing is ever changed; a hash is given once.
DROP TRIGGER action_log_is_never_changed;
CREATE TRIGGER action_log_is_never_changed BEFORE UPDATE ON action_log
WHEN NOT (OLD.hash IS NULL AND length(NEW.hash) = 32 AND NEW.sequence IS OLD.sequence AND NEW.run IS OLD.run
          AND NEW.at IS OLD.at AND NEW.kind IS OLD.kind AND NEW.agent IS OLD.agent AND NEW.actor IS OLD.actor
          AND NEW.outcome IS OLD.outcome AND NEW.payload IS OLD.payload)
BEGIN
    SELECT RAISE(ABORT, 'the action log is append-only');
END;

CREATE INDEX action_log_without_hash ON action_log (sequence) WHERE hash IS NULL;
CREATE INDEX action_log_checkpoints ON action_log (sequence) WHERE kind = 'action_log_purged' AND run = '';
-- For lists of a run by each filter.
CREATE INDEX action_log_of_actor ON action_log (run, actor, sequence);
CREATE INDEX action_log_of_kind ON action_log (run, kind, sequence);
CREATE INDEX action_log_of_agent ON action_log (run, agent, sequence);
CREATE INDEX action_log_of_outcome ON action_log (run, outcome, sequence);
