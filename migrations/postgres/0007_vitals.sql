-- Vitals, for clusters without InfluxDB. Times are microseconds since the Unix epoch and not timestamptz: they come
-- from agents' clocks, which may say anything, and are kept as they came.

-- One row per agent with a record, so that counting never scans records. Its row is the lock under which the agent's
-- records change; several are locked in the order of run and agent.
CREATE TABLE immune.vitals_agents (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run                 text COLLATE "C" NOT NULL,
    agent               text COLLATE "C" NOT NULL,
    executions          bigint NOT NULL,
    first_received_at   bigint NOT NULL,
    last_received_at    bigint NOT NULL,
    UNIQUE (run, agent)
) WITH (fillfactor = 50);
COMMENT ON TABLE immune.vitals_agents IS 'Owner: ingestion.';
CREATE INDEX vitals_agents_seen ON immune.vitals_agents (run, last_received_at);

CREATE TABLE immune.vitals (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id            bigint NOT NULL,
    execution           text COLLATE "C" NOT NULL,
    revision            bigint NOT NULL,
    started_at          bigint NOT NULL,
    timestamp           bigint NOT NULL,
    received_at         bigint NOT NULL,
    latency_ms          double precision NOT NULL,
    input_tokens        bigint,             -- tokens above 2^63 - 1 wrap to negative numbers and back
    output_tokens       bigint,
    token_count         bigint,
    tool_calls          bigint,
    retries             bigint,
    success             boolean NOT NULL,
    completeness        text NOT NULL,
    source              text NOT NULL,
    context             json NOT NULL,
    UNIQUE (agent_id, execution)
);
COMMENT ON TABLE immune.vitals IS 'Owner: ingestion. Changed by immune.put_vitals and immune.forget_vitals alone.';
CREATE INDEX vitals_in_time ON immune.vitals (agent_id, timestamp, execution);
CREATE INDEX vitals_of_agent_by_reception ON immune.vitals (agent_id, received_at);
CREATE INDEX vitals_by_reception ON immune.vitals USING brin (received_at);

-- Stores records, each execution once in a batch. A higher revision replaces, an equal or lower one changes nothing.
CREATE FUNCTION immune.put_vitals(
    p_runs text[], p_agents text[], p_executions text[], p_revisions bigint[],
    p_started bigint[], p_timestamps bigint[], p_received bigint[], p_latencies double precision[],
    p_input bigint[], p_output bigint[], p_tokens bigint[], p_tools bigint[], p_retries bigint[],
    p_success boolean[], p_completeness text[], p_sources text[], p_contexts json[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
    v_new bigint[];
BEGIN
    -- Makes the agents that are missing and locks the others.
    INSERT INTO immune.vitals_agents AS old (run, agent, executions, first_received_at, last_received_at)
    SELECT t.run, t.agent, 0, min(t.received_at), max(t.received_at)
      FROM unnest(p_runs, p_agents, p_received) AS t (run, agent, received_at)
     GROUP BY t.run COLLATE "C", t.agent COLLATE "C", t.run, t.agent
     ORDER BY t.run COLLATE "C", t.agent COLLATE "C"
        ON CONFLICT (run, agent) DO UPDATE SET executions = old.executions;

    -- A row that was inserted has never been deleted or locked: its xmax is 0.
    WITH written AS (
        INSERT INTO immune.vitals AS old (
            agent_id, execution, revision, started_at, timestamp, received_at, latency_ms, input_tokens,
            output_tokens, token_count, tool_calls, retries, success, completeness, source, context
        )
        SELECT a.id, t.execution, t.revision, t.started_at, t.timestamp, t.received_at, t.latency_ms, t.input_tokens,
               t.output_tokens, t.token_count, t.tool_calls, t.retries, t.success, t.completeness, t.source, t.context
          FROM unnest(p_runs, p_agents, p_executions, p_revisions, p_started, p_timestamps, p_received, p_latencies,
                      p_input, p_output, p_tokens, p_tools, p_retries, p_success, p_completeness, p_sources,
                      p_contexts)
               AS t (run, agent, execution, revision, started_at, timestamp, received_at, latency_ms, input_tokens,
                     output_tokens, token_count, tool_calls, retries, success, completeness, source, context)
          JOIN immune.vitals_agents a ON a.run = t.run AND a.agent = t.agent
            ON CONFLICT (agent_id, execution) DO UPDATE
               SET revision = excluded.revision, started_at = excluded.started_at, timestamp = excluded.timestamp,
                   received_at = excluded.received_at, latency_ms = excluded.latency_ms,
                   input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
                   token_count = excluded.token_count, tool_calls = excluded.tool_calls, retries = excluded.retries,
                   success = excluded.success, completeness = excluded.completeness, source = excluded.source,
                   context = excluded.context
             WHERE excluded.revision > old.revision
        RETURNING old.agent_id, old.xmax = 0 AS is_new
    ), counted AS (
        SELECT w.agent_id, count(*) FILTER (WHERE w.is_new) AS added FROM written w GROUP BY w.agent_id
    )
    SELECT array_agg(c.agent_id), array_agg(c.added) INTO v_ids, v_new FROM counted c;

    UPDATE immune.vitals_agents a
       SET executions = a.executions + t.added,
           first_received_at = least(a.first_received_at, (
               SELECT min(v.received_at) FROM immune.vitals v WHERE v.agent_id = a.id)),
           last_received_at = (SELECT max(v.received_at) FROM immune.vitals v WHERE v.agent_id = a.id)
      FROM unnest(v_ids, v_new) AS t (id, added)
     WHERE a.id = t.id;
END $$;

-- Removes records, with `p_before` only those received before it; answers how many. An agent without any goes too.
CREATE FUNCTION immune.forget_vitals(p_ids bigint[], p_before bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_agents bigint[];
    v_gone bigint[];
BEGIN
    PERFORM FROM immune.vitals_agents a
      WHERE a.id IN (SELECT v.agent_id FROM immune.vitals v WHERE v.id = ANY (p_ids))
      ORDER BY a.run, a.agent FOR UPDATE;
    WITH removed AS (
        DELETE FROM immune.vitals v
         WHERE v.id = ANY (p_ids) AND (p_before IS NULL OR v.received_at < p_before)
        RETURNING v.agent_id
    ), counted AS (
        SELECT r.agent_id, count(*) AS gone FROM removed r GROUP BY r.agent_id
    )
    SELECT array_agg(c.agent_id), array_agg(c.gone) INTO v_agents, v_gone FROM counted c;
    UPDATE immune.vitals_agents a
       SET executions = a.executions - t.gone,
           last_received_at = coalesce(
               (SELECT max(v.received_at) FROM immune.vitals v WHERE v.agent_id = a.id), a.last_received_at)
      FROM unnest(v_agents, v_gone) AS t (id, gone)
     WHERE a.id = t.id;
    DELETE FROM immune.vitals_agents a WHERE a.id = ANY (v_agents) AND a.executions = 0;
    RETURN coalesce((SELECT sum(g)::bigint FROM unnest(v_gone) AS g), 0);
END $$;

-- Removes executions by their names.
CREATE FUNCTION immune.retract_vitals(p_runs text[], p_agents text[], p_executions text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN immune.forget_vitals(ARRAY(
        SELECT v.id
          FROM unnest(p_runs, p_agents, p_executions) AS t (run, agent, execution)
          JOIN immune.vitals_agents a ON a.run = t.run AND a.agent = t.agent
          JOIN immune.vitals v ON v.agent_id = a.id AND v.execution = t.execution
    ), NULL);
END $$;

-- Removes up to a number of records received before a time; answers how many.
CREATE FUNCTION immune.purge_vitals(p_before bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN immune.forget_vitals(ARRAY(
        SELECT v.id FROM immune.vitals v WHERE v.received_at < p_before LIMIT p_limit
    ), p_before);
END $$;
