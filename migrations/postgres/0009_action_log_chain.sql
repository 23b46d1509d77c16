-- The action log becomes a chain: each row holds the hash of itself and of all before it (services/store/src/action_log.rs
-- has the form). Rows are still inserted by whoever writes, inside its own transaction, and wait for nobody. Once they
-- are committed they get their place in the order under the lock on action_log_place, as events do, and their hash, which
-- a process computes and link_action_log writes if the chain still ends where the process saw it end. So the chain is in
-- the order in which rows became visible, and two processes that chain at once cannot fork it.
--
-- `id` is the order of writing, `sequence` the place in the chain. Rows from before this migration keep their numbers,
-- and are chained by the first process that comes along. Programs of older schemas cannot write beside it: their
-- sweeper would take rows out of the middle.

ALTER TABLE immune.action_log RENAME COLUMN sequence TO id;
ALTER TABLE immune.action_log ADD COLUMN sequence bigint, ADD COLUMN hash bytea CHECK (length(hash) = 32);

DROP TRIGGER action_log_is_never_changed ON immune.action_log;
UPDATE immune.action_log SET sequence = id;

-- Nothing is ever changed; a place and a hash are given once.
CREATE FUNCTION immune.refuse_change_of_log() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.run, NEW.at, NEW.kind, NEW.agent, NEW.actor, NEW.outcome, NEW.payload)
           IS DISTINCT FROM (OLD.id, OLD.run, OLD.at, OLD.kind, OLD.agent, OLD.actor, OLD.outcome, OLD.payload)
       OR (OLD.sequence IS NOT NULL AND NEW.sequence IS DISTINCT FROM OLD.sequence)
       OR (OLD.hash IS NOT NULL AND NEW.hash IS DISTINCT FROM OLD.hash) THEN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER action_log_is_never_changed BEFORE UPDATE ON immune.action_log
    FOR EACH ROW EXECUTE FUNCTION immune.refuse_change_of_log();

DROP INDEX immune.action_log_of_run;
CREATE UNIQUE INDEX action_log_in_order ON immune.action_log (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX action_log_without_place ON immune.action_log (id) WHERE sequence IS NULL;
CREATE INDEX action_log_without_hash ON immune.action_log (sequence) WHERE hash IS NULL AND sequence IS NOT NULL;
CREATE INDEX action_log_checkpoints ON immune.action_log (sequence) WHERE kind = 'action_log_purged' AND run = '';
-- For lists of a run, whole and by each filter.
CREATE INDEX action_log_of_run ON immune.action_log (run, sequence);
CREATE INDEX action_log_of_actor ON immune.action_log (run, actor, sequence);
CREATE INDEX action_log_of_kind ON immune.action_log (run, kind, sequence);
CREATE INDEX action_log_of_agent ON immune.action_log (run, agent, sequence);
CREATE INDEX action_log_of_outcome ON immune.action_log (run, outcome, sequence);

-- The last place that was given, and the last link that was made. Its row is the lock under which both happens.
CREATE TABLE immune.action_log_place (
    is_only             boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    last                bigint NOT NULL,
    chained             bigint NOT NULL,
    hash                bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE immune.action_log_place IS 'Where the chain of immune.action_log ends. Written by every role.';
INSERT INTO immune.action_log_place (last, chained, hash)
SELECT greatest(coalesce(max(r.id), 0),
                coalesce(pg_sequence_last_value(pg_get_serial_sequence('immune.action_log', 'id')::regclass), 0)),
       0, decode(repeat('00', 32), 'hex')
  FROM immune.action_log r;

-- Gives every committed row that has none its place.
CREATE FUNCTION immune.number_action_log() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM immune.action_log r WHERE r.sequence IS NULL) THEN
        RETURN;
    END IF;
    -- The rows are looked up only once the lock is held: each statement sees what has been committed when it starts.
    SELECT p.last INTO v_last FROM immune.action_log_place p FOR UPDATE;
    WITH waiting AS (
        SELECT r.id, v_last + row_number() OVER (ORDER BY r.id) AS place
          FROM immune.action_log r WHERE r.sequence IS NULL
    ), numbered AS (
        UPDATE immune.action_log r SET sequence = w.place FROM waiting w WHERE r.id = w.id RETURNING r.sequence
    )
    UPDATE immune.action_log_place SET last = greatest(v_last, (SELECT max(n.sequence) FROM numbered n));
END $$;

-- Writes the places and hashes of the rows that follow the link at `p_after`, in order. False when the chain no longer
-- ends there, or places have been given since the caller saw `p_last` as the last. One update gives a row both, as a rule;
-- only rows that somebody wanted to read before have their place already.
CREATE FUNCTION immune.link_action_log(
    p_after bigint, p_last bigint, p_ids bigint[], p_sequences bigint[], p_hashes bytea[]
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_linked bigint;
BEGIN
    PERFORM FROM immune.action_log_place p WHERE p.chained = p_after AND p.last = p_last FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE immune.action_log r SET sequence = n.sequence, hash = n.hash
      FROM unnest(p_ids, p_sequences, p_hashes) AS n (id, sequence, hash)
     WHERE r.id = n.id AND r.hash IS NULL;
    GET DIAGNOSTICS v_linked = ROW_COUNT;
    IF v_linked <> cardinality(p_ids) THEN
        RAISE EXCEPTION 'rows of the action log have vanished before they were chained'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    UPDATE immune.action_log_place
       SET last = greatest(p_last, p_sequences[cardinality(p_sequences)]),
           chained = p_sequences[cardinality(p_sequences)], hash = p_hashes[cardinality(p_hashes)];
    RETURN true;
END $$;
