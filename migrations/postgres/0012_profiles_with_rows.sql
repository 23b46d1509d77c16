-- What a person changes of a baseline is on record with the change or not at all: profiles are stored together with
-- rows of the action log. The former function stays for processes that were not replaced yet.
CREATE FUNCTION immune.put_profiles(
    p_runs text[], p_agents text[], p_versions bigint[], p_ready boolean[], p_profiles jsonb[], p_learners json[],
    p_partitions integer[], p_fences bigint[], p_places text[], p_log jsonb
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_overtaken integer;
BEGIN
    v_overtaken := immune.put_profiles(p_runs, p_agents, p_versions, p_ready, p_profiles, p_learners,
                                       p_partitions, p_fences, p_places);
    IF v_overtaken IS NULL AND p_log IS NOT NULL THEN
        PERFORM immune.append_action_log(p_log);
    END IF;
    RETURN v_overtaken;
END $$;
