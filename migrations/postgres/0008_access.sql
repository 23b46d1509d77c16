-- Who may come in. Secrets are never here: keys and sessions are known by the SHA-256 of theirs.
CREATE TABLE immune.access_keys (
    id                  text COLLATE "C" PRIMARY KEY,
    name                text COLLATE "C" NOT NULL,
    hash                bytea NOT NULL,
    role                text COLLATE "C" NOT NULL,
    runs                jsonb NOT NULL,
    created_at          timestamptz NOT NULL,
    created_by          text NOT NULL,
    expires_at          timestamptz,
    revoked_at          timestamptz,
    revoked_by          text,
    last_used_at        timestamptz
) WITH (fillfactor = 80);
COMMENT ON TABLE immune.access_keys IS 'Owner: the door (dashboard; read by ingestion).';
CREATE INDEX access_keys_by_name ON immune.access_keys (name);

-- Has its one row since the first key was added: the first key is made once, also after it was purged. The row is
-- also the lock under which keys are added.
CREATE TABLE immune.access_began (
    one                 boolean PRIMARY KEY CHECK (one),
    has_begun           boolean NOT NULL
);
COMMENT ON TABLE immune.access_began IS 'Owner: the door.';
INSERT INTO immune.access_began (one, has_begun) VALUES (true, false);

CREATE TABLE immune.access_sessions (
    hash                bytea PRIMARY KEY,
    subject             text COLLATE "C" NOT NULL,
    via                 text COLLATE "C" NOT NULL,
    name                text NOT NULL,
    role                text COLLATE "C" NOT NULL,
    runs                jsonb NOT NULL,
    provider_session    text COLLATE "C",
    provider_subject    text COLLATE "C",
    id_token            text,
    created_at          timestamptz NOT NULL,
    seen_at             timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE immune.access_sessions IS 'Owner: the door (dashboard).';
-- Hashes stand in for texts: a subject may be longer than an entry of an index.
CREATE INDEX access_sessions_of_subject ON immune.access_sessions (md5(via), md5(subject));
CREATE INDEX access_sessions_at_provider ON immune.access_sessions (md5(provider_session))
    WHERE provider_session IS NOT NULL;
CREATE INDEX access_sessions_of_person ON immune.access_sessions (md5(provider_subject))
    WHERE provider_subject IS NOT NULL;

-- Secrets that replicas share (signing of cookies).
CREATE TABLE immune.access_secrets (
    name                text COLLATE "C" PRIMARY KEY,
    secret              bytea NOT NULL
);
COMMENT ON TABLE immune.access_secrets IS 'Owner: the door.';

-- Adds a key, or says why not: added, not_first, full, name_taken. The same key again is there already.
CREATE FUNCTION immune.add_access_key(
    p_id text, p_name text, p_hash bytea, p_role text, p_runs jsonb, p_created_at timestamptz, p_created_by text,
    p_expires_at timestamptz, p_first boolean, p_keys_max bigint
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_has_begun boolean;
BEGIN
    SELECT b.has_begun INTO v_has_begun FROM immune.access_began b FOR UPDATE;
    IF EXISTS (SELECT FROM immune.access_keys k WHERE k.id = p_id AND k.hash = p_hash) THEN
        RETURN 'added';
    END IF;
    IF p_first AND v_has_begun THEN
        RETURN 'not_first';
    END IF;
    IF (SELECT count(*) FROM immune.access_keys) >= p_keys_max THEN
        RETURN 'full';
    END IF;
    IF EXISTS (SELECT FROM immune.access_keys k WHERE k.name = p_name AND k.revoked_at IS NULL
                  AND (k.expires_at IS NULL OR k.expires_at > p_created_at)) THEN
        RETURN 'name_taken';
    END IF;
    INSERT INTO immune.access_keys (id, name, hash, role, runs, created_at, created_by, expires_at)
    VALUES (p_id, p_name, p_hash, p_role, p_runs, p_created_at, p_created_by, p_expires_at);
    IF NOT v_has_begun THEN
        UPDATE immune.access_began SET has_begun = true;
    END IF;
    RETURN 'added';
END $$;

-- Notes uses, [[id, microseconds], ...]. In the order of ids, so that two who note at once do not wait for each other
-- in a circle.
CREATE FUNCTION immune.access_keys_used(p_uses jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH used AS MATERIALIZED (
        SELECT u ->> 0 AS id, immune.from_micros(max((u ->> 1)::bigint)) AS at
          FROM jsonb_array_elements(p_uses) u GROUP BY 1
    ), held AS MATERIALIZED (
        SELECT k.id, used.at FROM immune.access_keys k JOIN used ON used.id = k.id
         WHERE k.last_used_at IS NULL OR k.last_used_at < used.at
         ORDER BY k.id FOR NO KEY UPDATE OF k
    )
    UPDATE immune.access_keys k SET last_used_at = greatest(k.last_used_at, held.at) FROM held WHERE k.id = held.id;
END $$;

-- Keeps a new session and, of the subject's, those that were seen last. In one statement after the other, so that the
-- second sees what the first has added.
CREATE FUNCTION immune.put_access_session(
    p_hash bytea, p_subject text, p_via text, p_name text, p_role text, p_runs jsonb, p_provider_session text,
    p_provider_subject text, p_id_token text, p_created_at timestamptz, p_seen_at timestamptz, p_ends_at timestamptz,
    p_keep bigint
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO immune.access_sessions (hash, subject, via, name, role, runs, provider_session, provider_subject,
                                        id_token, created_at, seen_at, ends_at)
    VALUES (p_hash, p_subject, p_via, p_name, p_role, p_runs, p_provider_session, p_provider_subject, p_id_token,
            p_created_at, p_seen_at, p_ends_at)
    ON CONFLICT DO NOTHING;
    WITH old AS MATERIALIZED (
        SELECT s.hash FROM immune.access_sessions s
         WHERE md5(s.via) = md5(p_via) AND md5(s.subject) = md5(p_subject) AND s.via = p_via AND s.subject = p_subject
         ORDER BY s.seen_at DESC, s.hash DESC OFFSET p_keep
    ), held AS MATERIALIZED (
        SELECT s.hash FROM immune.access_sessions s JOIN old ON old.hash = s.hash FOR UPDATE OF s SKIP LOCKED
    )
    DELETE FROM immune.access_sessions s USING held WHERE s.hash = held.hash;
END $$;
