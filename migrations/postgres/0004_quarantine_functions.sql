-- Gives every committed event that has none its place, and answers the last place.
--
-- Places are given under the lock on event_place, which is held until the commit is visible. So whoever sees a place
-- sees all smaller ones too, and a reader that goes on after the highest place it has seen misses nothing. Events of
-- one case keep their order: a case's next change starts after the last one's commit, so its ids are higher, and no
-- transaction here sees it without its predecessor.
CREATE FUNCTION immune.number_events() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint;
    v_next bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM immune.events e WHERE e.sequence IS NULL) THEN
        SELECT p.last INTO v_last FROM immune.event_place p;
        RETURN v_last;
    END IF;
    -- The events are looked up only once the lock is held: each statement of this function sees what has been
    -- committed when it starts.
    SELECT p.last INTO v_last FROM immune.event_place p FOR UPDATE;
    WITH waiting AS (
        SELECT e.id, v_last + row_number() OVER (ORDER BY e.id) AS place
          FROM immune.events e WHERE e.sequence IS NULL
    ), numbered AS (
        UPDATE immune.events e SET sequence = w.place FROM waiting w WHERE e.id = w.id RETURNING e.sequence
    )
    SELECT max(n.sequence) INTO v_next FROM numbered n;
    IF v_next IS NULL THEN
        RETURN v_last;
    END IF;
    UPDATE immune.event_place SET last = v_next;
    RETURN v_next;
END $$;

-- Events after a place, oldest first.
CREATE FUNCTION immune.events_after(p_place bigint, p_limit bigint) RETURNS SETOF immune.events
LANGUAGE plpgsql ROWS 100 AS $$
BEGIN
    PERFORM immune.number_events();
    RETURN QUERY SELECT * FROM immune.events e WHERE e.sequence > p_place ORDER BY e.sequence LIMIT p_limit;
END $$;

-- Adds events in the order given. `at` counts microseconds.
CREATE FUNCTION immune.add_events(p_events jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.events (at, kind, case_id, run, agent, text, payload)
    SELECT immune.from_micros(e.at), e.kind, e.case_id, e.run, e.agent, e.text, coalesce(e.payload, 'null')
      FROM ROWS FROM (jsonb_to_recordset(p_events) AS (
               at bigint, kind text, case_id text, run text, agent text, text text, payload jsonb
           )) WITH ORDINALITY AS e (at, kind, case_id, run, agent, text, payload, place)
     ORDER BY e.place;
END $$;

-- Adds to the totals of a run: last in a transaction, so that the row is held for as short as can be.
CREATE FUNCTION immune.count_cases(p_run text, p_opened int, p_quarantined int, p_healed int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.case_totals AS old (run, shard, opened, quarantined, healed)
    VALUES (p_run, pg_backend_pid() % 16, p_opened, p_quarantined, p_healed)
        ON CONFLICT (run, shard) DO UPDATE
           SET opened = old.opened + excluded.opened,
               quarantined = old.quarantined + excluded.quarantined,
               healed = old.healed + excluded.healed;
END $$;

-- Opens a case. `answer` is one of new, already_reported and already_open (with the case in `stored`), id_used,
-- crowded (with the count in `contained`). A limit of null is none.
CREATE FUNCTION immune.open_case(
    p_id text, p_run text, p_agent text, p_state text, p_infection text,
    p_is_open boolean, p_is_unsettled boolean, p_is_contained boolean,
    p_opened_at timestamptz, p_updated_at timestamptz, p_due_at timestamptz, p_closed_at timestamptz,
    p_body jsonb, p_contained_max bigint, p_log jsonb, p_events jsonb,
    OUT answer text, OUT stored jsonb, OUT contained bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    v_is_locked boolean := false;
BEGIN
    FOR v_round IN 1..5 LOOP
        SELECT c.body INTO stored
          FROM immune.case_infections i JOIN immune.cases c ON c.id = i.case_id
         WHERE i.infection = p_infection;
        IF FOUND THEN
            answer := 'already_reported';
            RETURN;
        END IF;
        SELECT c.body INTO stored FROM immune.cases c
         WHERE c.run = p_run AND c.agent = p_agent AND c.is_open;
        IF FOUND THEN
            answer := 'already_open';
            RETURN;
        END IF;
        IF EXISTS (SELECT FROM immune.cases c WHERE c.id = p_id) THEN
            answer := 'id_used';
            RETURN;
        END IF;

        IF p_is_contained AND p_contained_max IS NOT NULL THEN
            IF NOT v_is_locked THEN
                -- One opening at a time may take a place of the run's blast radius. 1229802837 is "IMMU". Whoever
                -- held the lock may have opened just this case: look again.
                PERFORM pg_advisory_xact_lock(1229802837, hashtext(p_run));
                v_is_locked := true;
                CONTINUE;
            END IF;
            SELECT count(*) INTO contained FROM immune.cases c
             WHERE c.run = p_run AND c.is_open AND c.is_contained;
            IF contained > p_contained_max THEN
                answer := 'crowded';
                RETURN;
            END IF;
        END IF;

        -- First the report, then the agent: who loses either looks again at what the winner has stored.
        INSERT INTO immune.case_infections (infection, case_id) VALUES (p_infection, p_id) ON CONFLICT DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        INSERT INTO immune.cases (
            id, run, agent, version, state, infection, is_open, is_unsettled, is_contained, was_quarantined,
            opened_at, updated_at, due_at, closed_at, body
        ) VALUES (
            p_id, p_run, p_agent, 1, p_state, p_infection, p_is_open, p_is_unsettled, p_is_contained, p_is_contained,
            p_opened_at, p_updated_at, p_due_at, p_closed_at, p_body
        ) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            IF p_log IS NOT NULL THEN
                PERFORM immune.append_action_log(p_log);
            END IF;
            IF p_events IS NOT NULL THEN
                PERFORM immune.add_events(p_events);
            END IF;
            PERFORM immune.count_cases(p_run, 1, p_is_contained::int, (p_state = 'healed')::int);
            answer := 'new';
            RETURN;
        END IF;
        DELETE FROM immune.case_infections i WHERE i.infection = p_infection;
    END LOOP;
    RAISE EXCEPTION 'case % lost too many races', p_id USING ERRCODE = 'serialization_failure';
END $$;

-- Saves a changed case. `answer` is one of done, conflict (with the case in `stored`), missing, and other_agent (with
-- the agent's name in `stored`).
CREATE FUNCTION immune.save_case(
    p_id text, p_run text, p_agent text, p_state text, p_infection text,
    p_is_open boolean, p_is_unsettled boolean, p_is_contained boolean,
    p_updated_at timestamptz, p_due_at timestamptz, p_closed_at timestamptz,
    p_body jsonb, p_expected bigint, p_log jsonb, p_events jsonb,
    OUT answer text, OUT stored jsonb
)
LANGUAGE plpgsql AS $$
DECLARE
    v_old record;
    v_is_quarantined boolean;
    v_is_healed boolean;
BEGIN
    SELECT c.run, c.agent, c.version, c.state, c.infection, c.was_quarantined INTO v_old
      FROM immune.cases c WHERE c.id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        answer := 'missing';
        RETURN;
    END IF;
    IF v_old.version <> p_expected THEN
        answer := 'conflict';
        SELECT c.body INTO stored FROM immune.cases c WHERE c.id = p_id;
        RETURN;
    END IF;
    IF v_old.run <> p_run OR v_old.agent <> p_agent THEN
        answer := 'other_agent';
        stored := to_jsonb(v_old.run || '/' || v_old.agent);
        RETURN;
    END IF;

    -- A settled case has nothing to claim.
    UPDATE immune.cases c
       SET version = p_expected + 1, state = p_state, infection = p_infection,
           is_open = p_is_open, is_unsettled = p_is_unsettled, is_contained = p_is_contained,
           was_quarantined = c.was_quarantined OR p_is_contained,
           updated_at = p_updated_at, due_at = p_due_at, closed_at = p_closed_at, body = p_body,
           claimed_by = CASE WHEN p_is_unsettled THEN c.claimed_by END,
           claimed_until = CASE WHEN p_is_unsettled THEN c.claimed_until END
     WHERE c.id = p_id;
    IF v_old.infection <> p_infection THEN
        INSERT INTO immune.case_infections (infection, case_id) VALUES (p_infection, p_id) ON CONFLICT DO NOTHING;
    END IF;
    IF p_log IS NOT NULL THEN
        PERFORM immune.append_action_log(p_log);
    END IF;
    IF p_events IS NOT NULL THEN
        PERFORM immune.add_events(p_events);
    END IF;
    v_is_quarantined := p_is_contained AND NOT v_old.was_quarantined;
    v_is_healed := p_state = 'healed' AND v_old.state <> 'healed';
    IF v_is_quarantined OR v_is_healed THEN
        PERFORM immune.count_cases(p_run, 0, v_is_quarantined::int, v_is_healed::int);
    END IF;
    answer := 'done';
END $$;
