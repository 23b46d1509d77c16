CREATE TABLE immune.partitions (
    partition   integer PRIMARY KEY,
    fence       bigint NOT NULL,
    place       text
);
COMMENT ON TABLE immune.partitions IS
    'Owner: baseline. Under which tenure the profiles of a partition may be changed, and how far they are.';

-- The learner is kept as json, as it was written: jsonb would turn a number like 1e16 into an integer.
CREATE TABLE immune.profiles (
    run         text COLLATE "C" NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    is_ready    boolean NOT NULL,
    profile     jsonb NOT NULL,
    learner     json NOT NULL,
    PRIMARY KEY (run, agent)
) WITH (fillfactor = 70);
COMMENT ON TABLE immune.profiles IS 'Owner: baseline.';
CREATE INDEX profiles_ready ON immune.profiles (run) WHERE is_ready;

-- Stores profiles and places under tenures. Answers the partition that was taken over by someone else, having stored
-- nothing; or null. The profiles come in the order of their keys and each key once.
CREATE FUNCTION immune.put_profiles(
    p_runs text[], p_agents text[], p_versions bigint[], p_ready boolean[], p_profiles jsonb[], p_learners json[],
    p_partitions integer[], p_fences bigint[], p_places text[]
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_overtaken integer;
BEGIN
    -- In the order of partitions, or two writers could wait for each other. Taking over waits for these locks.
    PERFORM FROM immune.partitions h WHERE h.partition = ANY (p_partitions) ORDER BY h.partition FOR NO KEY UPDATE;

    SELECT t.partition INTO v_overtaken
      FROM unnest(p_partitions, p_fences) AS t (partition, fence)
      LEFT JOIN immune.partitions h ON h.partition = t.partition
     WHERE h.fence IS DISTINCT FROM t.fence
     LIMIT 1;
    IF FOUND THEN
        RETURN v_overtaken;
    END IF;

    UPDATE immune.partitions h SET place = t.place
      FROM unnest(p_partitions, p_places) AS t (partition, place)
     WHERE h.partition = t.partition AND t.place IS NOT NULL;

    INSERT INTO immune.profiles AS old (run, agent, version, is_ready, profile, learner)
    SELECT * FROM unnest(p_runs, p_agents, p_versions, p_ready, p_profiles, p_learners)
        ON CONFLICT (run, agent) DO UPDATE
           SET version = excluded.version, is_ready = excluded.is_ready,
               profile = excluded.profile, learner = excluded.learner
         WHERE excluded.version > old.version;
    RETURN NULL;
END $$;
