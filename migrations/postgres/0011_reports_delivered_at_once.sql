-- A report that was delivered many times at once was told of the case that it had opened itself as of somebody else's:
-- the report was looked for before the winner had committed, the agent's open case after it.
CREATE OR REPLACE FUNCTION immune.open_case(
    p_id text, p_run text, p_agent text, p_state text, p_infection text,
    p_is_open boolean, p_is_unsettled boolean, p_is_contained boolean,
    p_opened_at timestamptz, p_updated_at timestamptz, p_due_at timestamptz, p_closed_at timestamptz,
    p_body jsonb, p_contained_max bigint, p_log jsonb, p_events jsonb,
    OUT answer text, OUT stored jsonb, OUT contained bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    v_is_locked boolean := false;
    v_is_used boolean;
    v_open jsonb;
BEGIN
    FOR v_round IN 1..5 LOOP
        -- The report last: whoever opens a case between these has stored its report with it.
        v_is_used := EXISTS (SELECT FROM immune.cases c WHERE c.id = p_id);
        SELECT c.body INTO v_open FROM immune.cases c
         WHERE c.run = p_run AND c.agent = p_agent AND c.is_open;
        SELECT c.body INTO stored
          FROM immune.case_infections i JOIN immune.cases c ON c.id = i.case_id
         WHERE i.infection = p_infection;
        IF FOUND THEN
            answer := 'already_reported';
            RETURN;
        END IF;
        IF v_open IS NOT NULL THEN
            answer := 'already_open';
            stored := v_open;
            RETURN;
        END IF;
        IF v_is_used THEN
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
