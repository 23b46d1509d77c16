CREATE TABLE immune.healings (
    id                  text COLLATE "C" PRIMARY KEY,
    run                 text COLLATE "C" NOT NULL,
    agent               text COLLATE "C" NOT NULL,
    case_id             text COLLATE "C" NOT NULL,
    diagnosis           text NOT NULL,
    action              text NOT NULL,
    started_at          timestamptz NOT NULL,
    is_ended            boolean NOT NULL,
    body                jsonb NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE immune.healings IS 'Owner: healer.';
CREATE INDEX healings_newest ON immune.healings (started_at, id);
CREATE INDEX healings_of_run ON immune.healings (run, started_at, id);
CREATE INDEX healings_of_agent ON immune.healings (run, agent, started_at, id);
CREATE INDEX healings_of_case ON immune.healings (case_id, started_at, id);

CREATE TABLE immune.memories (
    run                 text COLLATE "C" NOT NULL,
    agent               text COLLATE "C" NOT NULL,
    diagnosis           text COLLATE "C" NOT NULL,
    action              text COLLATE "C" NOT NULL,
    successes           bigint NOT NULL,
    failures            bigint NOT NULL,
    last_at             timestamptz NOT NULL,
    pin                 text,
    PRIMARY KEY (run, agent, diagnosis, action)
);
COMMENT ON TABLE immune.memories IS 'Owner: healer. Immune memory.';

-- Several rows per run, as in case_totals.
CREATE TABLE immune.healing_totals (
    run                 text COLLATE "C" NOT NULL,
    shard               smallint NOT NULL,
    succeeded           bigint NOT NULL,
    failed              bigint NOT NULL,
    PRIMARY KEY (run, shard)
) WITH (fillfactor = 50);
COMMENT ON TABLE immune.healing_totals IS 'Owner: healer.';

-- Counts an attempt that ended into memory and totals; one that teaches nothing has no `p_helped`.
CREATE FUNCTION immune.learn(
    p_run text, p_agent text, p_diagnosis text, p_action text, p_helped boolean, p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_helped IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO immune.memories AS old (run, agent, diagnosis, action, successes, failures, last_at)
    VALUES (p_run, p_agent, p_diagnosis, p_action, p_helped::int, (NOT p_helped)::int, p_at)
        ON CONFLICT (run, agent, diagnosis, action) DO UPDATE
           SET successes = least(old.successes + excluded.successes, 4294967295),
               failures = least(old.failures + excluded.failures, 4294967295),
               last_at = greatest(old.last_at, excluded.last_at);
    INSERT INTO immune.healing_totals AS old (run, shard, succeeded, failed)
    VALUES (p_run, pg_backend_pid() % 16, p_helped::int, (NOT p_helped)::int)
        ON CONFLICT (run, shard) DO UPDATE
           SET succeeded = old.succeeded + excluded.succeeded, failed = old.failed + excluded.failed;
END $$;

CREATE FUNCTION immune.begin_healing(
    p_id text, p_run text, p_agent text, p_case text, p_diagnosis text, p_action text, p_started_at timestamptz,
    p_is_ended boolean, p_body jsonb, p_helped boolean, p_ended_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.healings (id, run, agent, case_id, diagnosis, action, started_at, is_ended, body)
    VALUES (p_id, p_run, p_agent, p_case, p_diagnosis, p_action, p_started_at, p_is_ended, p_body)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM immune.learn(p_run, p_agent, p_diagnosis, p_action, p_helped, p_ended_at);
    END IF;
END $$;

-- Replaces the outcome of an attempt that has not ended. `is_same` says whether the stored outcome is the given one.
CREATE FUNCTION immune.finish_healing(
    p_id text, p_is_ended boolean, p_outcome jsonb, p_helped boolean, p_ended_at timestamptz,
    OUT is_changed boolean, OUT is_same boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    v_old record;
BEGIN
    SELECT h.run, h.agent, h.diagnosis, h.action, h.is_ended, h.body -> 'outcome' AS outcome INTO v_old
      FROM immune.healings h WHERE h.id = p_id FOR NO KEY UPDATE;
    is_same := FOUND AND v_old.outcome = p_outcome;
    is_changed := FOUND AND NOT v_old.is_ended AND NOT is_same;
    IF NOT is_changed THEN
        RETURN;
    END IF;
    UPDATE immune.healings h
       SET is_ended = p_is_ended, body = jsonb_set(h.body, '{outcome}', p_outcome)
     WHERE h.id = p_id;
    PERFORM immune.learn(v_old.run, v_old.agent, v_old.diagnosis, v_old.action, p_helped, p_ended_at);
    is_same := true;
END $$;

-- Sets or clears a person's word. A memory that says nothing any more goes.
CREATE FUNCTION immune.pin_memory(
    p_run text, p_agent text, p_diagnosis text, p_action text, p_pin text, p_now timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.memories (run, agent, diagnosis, action, successes, failures, last_at, pin)
    VALUES (p_run, p_agent, p_diagnosis, p_action, 0, 0, p_now, p_pin)
        ON CONFLICT (run, agent, diagnosis, action) DO UPDATE SET pin = excluded.pin;
    DELETE FROM immune.memories m
     WHERE m.run = p_run AND m.agent = p_agent AND m.diagnosis = p_diagnosis AND m.action = p_action
       AND m.successes = 0 AND m.failures = 0 AND m.pin IS NULL;
END $$;
