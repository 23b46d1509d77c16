-- Times are timestamptz, which keeps microseconds. Texts that are searched or ordered by compare by their bytes
-- (COLLATE "C"), whatever the database's own collation. Zero characters, which PostgreSQL cannot store, come escaped.
-- All functions run in the caller's transaction and expect the isolation level read committed.

-- Microseconds since the Unix epoch as a time, exact over the whole range: days and the rest of a day apart, because
-- PostgreSQL multiplies intervals in floating point.
CREATE FUNCTION immune.from_micros(micros bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (timestamp '1970-01-01 00:00:00'
            + make_interval(days => (micros / 86400000000)::int,
                            secs => (micros % 86400000000)::double precision / 1000000)) AT TIME ZONE 'UTC'
$$;

CREATE TABLE immune.action_log (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run         text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    agent       text COLLATE "C",
    actor       text NOT NULL,
    outcome     text NOT NULL,
    payload     jsonb NOT NULL
);
COMMENT ON TABLE immune.action_log IS
    'Audit record. Written by every role through immune.append_action_log, never changed.';
CREATE INDEX action_log_of_run ON immune.action_log (run, sequence);
CREATE INDEX action_log_by_time ON immune.action_log (at);

CREATE FUNCTION immune.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER action_log_is_never_changed BEFORE UPDATE ON immune.action_log
    FOR EACH ROW EXECUTE FUNCTION immune.refuse_change();

-- Appends rows in the order given. `at` counts microseconds.
CREATE FUNCTION immune.append_action_log(p_rows jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.action_log (run, at, kind, agent, actor, outcome, payload)
    SELECT r.run, immune.from_micros(r.at), r.kind, r.agent, r.actor, r.outcome, coalesce(r.payload, 'null')
      FROM ROWS FROM (jsonb_to_recordset(p_rows) AS (
               run text, at bigint, kind text, agent text, actor text, outcome text, payload jsonb
           )) WITH ORDINALITY AS r (run, at, kind, agent, actor, outcome, payload, place)
     ORDER BY r.place;
END $$;
