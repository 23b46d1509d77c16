-- What each outgoing target has still to be told. Owner: the notifier. A target is held by one process at a time; its
-- fence grows whenever it changes hands, and whoever comes with an older one changes nothing.
CREATE TABLE immune.notification_targets (
    name                text COLLATE "C" PRIMARY KEY,
    cursor              bigint NOT NULL,
    fence               bigint NOT NULL,
    held_by             text COLLATE "C",
    held_until          timestamptz,
    delivered           bigint NOT NULL DEFAULT 0,
    last_delivered_at   timestamptz,
    last_error          text,
    last_error_at       timestamptz,
    failing_since       timestamptz
);

-- A row lives until it is delivered; `died_at` makes it a dead letter.
CREATE TABLE immune.notifications (
    id                  text COLLATE "C" PRIMARY KEY,
    target              text COLLATE "C" NOT NULL,
    sequence            bigint NOT NULL,
    case_id             text COLLATE "C" NOT NULL,
    taken_at            timestamptz NOT NULL,
    due_at              timestamptz NOT NULL,
    attempts            integer NOT NULL,
    last_error          text,
    died_at             timestamptz,
    event               jsonb NOT NULL
);
CREATE INDEX notifications_waiting ON immune.notifications (target, sequence, id) WHERE died_at IS NULL;
CREATE INDEX notifications_of_case ON immune.notifications (target, case_id, sequence) WHERE died_at IS NULL;
CREATE INDEX notifications_dead ON immune.notifications (target, died_at, id) WHERE died_at IS NOT NULL;

-- What deliveries have left for later ones of the same case, such as the id of a message to change.
CREATE TABLE immune.notification_receipts (
    target              text COLLATE "C" NOT NULL,
    case_id             text COLLATE "C" NOT NULL,
    at                  timestamptz NOT NULL,
    receipt             jsonb NOT NULL,
    PRIMARY KEY (target, case_id)
);
CREATE INDEX notification_receipts_by_time ON immune.notification_receipts (at);

-- Holds a target; no row when someone else does.
CREATE FUNCTION immune.hold_notification_target(
    p_name text, p_worker text, p_now timestamptz, p_until timestamptz, p_begin_after bigint
) RETURNS TABLE (fence bigint, cursor bigint)
LANGUAGE sql AS $$
    INSERT INTO immune.notification_targets AS t (name, cursor, fence, held_by, held_until)
    VALUES (p_name, p_begin_after, 1, p_worker, p_until)
        ON CONFLICT (name) DO UPDATE
           SET fence = t.fence + CASE WHEN t.held_by IS NOT DISTINCT FROM p_worker THEN 0 ELSE 1 END,
               held_by = p_worker, held_until = p_until
         WHERE t.held_by IS NULL OR t.held_by = p_worker OR t.held_until <= p_now
    RETURNING t.fence, t.cursor
$$;

-- Adds notifications. Times count microseconds.
CREATE FUNCTION immune.insert_notifications(p_rows jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO immune.notifications (id, target, sequence, case_id, taken_at, due_at, attempts, last_error, died_at, event)
    SELECT r.id, r.target, r.sequence, r.case_id, immune.from_micros(r.taken_at), immune.from_micros(r.due_at),
           r.attempts, r.last_error, immune.from_micros(r.died_at), r.event
      FROM jsonb_to_recordset(p_rows) AS r (
               id text, target text, sequence bigint, case_id text, taken_at bigint, due_at bigint, attempts integer,
               last_error text, died_at bigint, event jsonb
           )
        ON CONFLICT (id) DO NOTHING
$$;

-- Adds notifications and moves the target's place, unless overtaken.
CREATE FUNCTION immune.take_in_notifications(
    p_target text, p_fence bigint, p_cursor bigint, p_rows jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE immune.notification_targets t SET cursor = greatest(t.cursor, p_cursor)
     WHERE t.name = p_target AND t.fence = p_fence;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM immune.insert_notifications(p_rows);
    RETURN true;
END $$;

-- Adds notifications to a target that was held at some time.
CREATE FUNCTION immune.add_notifications(p_target text, p_rows jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM immune.notification_targets t WHERE t.name = p_target) THEN
        RETURN false;
    END IF;
    PERFORM immune.insert_notifications(p_rows);
    RETURN true;
END $$;

-- Begins attempts of what is due. The first row says whether the target is held under the fence; the target's row is
-- locked, so that it cannot change hands meanwhile.
CREATE FUNCTION immune.begin_notifications(
    p_target text, p_fence bigint, p_now timestamptz, p_until timestamptz, p_limit bigint
) RETURNS SETOF immune.notifications
LANGUAGE plpgsql AS $$
DECLARE
    v_none immune.notifications;
BEGIN
    PERFORM 1 FROM immune.notification_targets t
      WHERE t.name = p_target AND t.fence = p_fence FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN NEXT v_none;
    RETURN QUERY
    UPDATE immune.notifications n SET attempts = n.attempts + 1, due_at = p_until
     WHERE n.id IN (
           SELECT w.id FROM immune.notifications w
            WHERE w.target = p_target AND w.died_at IS NULL AND w.due_at <= p_now
              AND NOT EXISTS (
                  SELECT 1 FROM immune.notifications e
                   WHERE e.target = w.target AND e.case_id = w.case_id AND e.died_at IS NULL
                     AND e.sequence < w.sequence AND e.due_at > p_now)
            ORDER BY w.sequence, w.id LIMIT p_limit)
    RETURNING n.*;
END $$;

-- Notes what became of attempts, unless overtaken. Each element has `id` and `outcome`: `delivered` (with `receipt`),
-- `again` (`due_at`, `error`), `held` (`due_at`), `dead` (`error`). What is not waiting any more is passed over, so
-- that the call may be repeated.
CREATE FUNCTION immune.settle_notifications(
    p_target text, p_fence bigint, p_now timestamptz, p_settled jsonb, p_dead_max bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_one record;
    v_case text;
    v_is_failed boolean;
BEGIN
    PERFORM 1 FROM immune.notification_targets t
      WHERE t.name = p_target AND t.fence = p_fence FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR v_one IN
        SELECT s.id, s.outcome, immune.from_micros(s.due_at) AS due_at, s.error, s.receipt
          FROM ROWS FROM (jsonb_to_recordset(p_settled) AS (
                   id text, outcome text, due_at bigint, error text, receipt jsonb
               )) WITH ORDINALITY AS s (id, outcome, due_at, error, receipt, place)
         ORDER BY s.place
    LOOP
        v_is_failed := false;
        CASE v_one.outcome
        WHEN 'delivered' THEN
            DELETE FROM immune.notifications n
             WHERE n.id = v_one.id AND n.target = p_target AND n.died_at IS NULL
            RETURNING n.case_id INTO v_case;
            IF FOUND THEN
                UPDATE immune.notification_targets t
                   SET delivered = t.delivered + 1, last_delivered_at = p_now, failing_since = NULL
                 WHERE t.name = p_target;
                IF v_one.receipt IS NOT NULL THEN
                    INSERT INTO immune.notification_receipts AS r (target, case_id, at, receipt)
                    VALUES (p_target, v_case, p_now, v_one.receipt)
                        ON CONFLICT (target, case_id) DO UPDATE SET at = excluded.at, receipt = excluded.receipt;
                END IF;
            END IF;
        WHEN 'again' THEN
            UPDATE immune.notifications n SET due_at = v_one.due_at, last_error = v_one.error
             WHERE n.id = v_one.id AND n.target = p_target AND n.died_at IS NULL;
            v_is_failed := FOUND;
        WHEN 'held' THEN
            UPDATE immune.notifications n SET due_at = v_one.due_at, attempts = greatest(n.attempts - 1, 0)
             WHERE n.id = v_one.id AND n.target = p_target AND n.died_at IS NULL AND n.due_at <> v_one.due_at;
        WHEN 'dead' THEN
            UPDATE immune.notifications n SET died_at = p_now, last_error = v_one.error
             WHERE n.id = v_one.id AND n.target = p_target AND n.died_at IS NULL;
            v_is_failed := FOUND;
        END CASE;
        IF v_is_failed THEN
            UPDATE immune.notification_targets t
               SET last_error = v_one.error, last_error_at = p_now, failing_since = coalesce(t.failing_since, p_now)
             WHERE t.name = p_target;
        END IF;
    END LOOP;
    DELETE FROM immune.notifications n USING (
        SELECT d.id FROM immune.notifications d WHERE d.target = p_target AND d.died_at IS NOT NULL
         ORDER BY d.died_at DESC, d.sequence DESC, d.id DESC OFFSET p_dead_max) AS old
     WHERE n.id = old.id;
    RETURN true;
END $$;
