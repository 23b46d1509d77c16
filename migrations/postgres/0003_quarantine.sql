-- The body is the case; the other columns are what is searched by.
CREATE TABLE immune.cases (
    id                  text COLLATE "C" PRIMARY KEY,
    run                 text COLLATE "C" NOT NULL,
    agent               text COLLATE "C" NOT NULL,
    version             bigint NOT NULL,
    state               text NOT NULL,
    infection           text COLLATE "C" NOT NULL,
    is_open             boolean NOT NULL,
    is_unsettled        boolean NOT NULL,
    is_contained        boolean NOT NULL,
    was_quarantined     boolean NOT NULL,
    opened_at           timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    due_at              timestamptz,
    closed_at           timestamptz,
    claimed_by          text,
    claimed_until       timestamptz,
    body                jsonb NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE immune.cases IS 'Owner: quarantine. Changed by immune.open_case and immune.save_case alone.';
CREATE UNIQUE INDEX cases_one_open ON immune.cases (run, agent) WHERE is_open;
CREATE INDEX cases_newest ON immune.cases (opened_at, id);
CREATE INDEX cases_newest_open ON immune.cases (opened_at, id) WHERE is_open;
CREATE INDEX cases_of_run ON immune.cases (run, opened_at, id);
CREATE INDEX cases_of_agent ON immune.cases (run, agent, opened_at, id);
CREATE INDEX cases_contained ON immune.cases (run) WHERE is_open AND is_contained;
CREATE INDEX cases_due ON immune.cases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX cases_unsettled ON immune.cases (updated_at, id) WHERE is_unsettled;
CREATE INDEX cases_closed ON immune.cases (closed_at) WHERE closed_at IS NOT NULL;

-- Which reports have led to which case, so that a report that is delivered again opens no second one. Opening claims
-- the report first and the agent second, hence the deferred reference.
CREATE TABLE immune.case_infections (
    infection           text COLLATE "C" PRIMARY KEY,
    case_id             text COLLATE "C" NOT NULL
                        REFERENCES immune.cases (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE immune.case_infections IS 'Owner: quarantine.';
CREATE INDEX case_infections_of_case ON immune.case_infections (case_id);

-- Counts over the whole life of a run. Several rows per run, so that changes of different cases do not wait for each
-- other's commit; the sum counts.
CREATE TABLE immune.case_totals (
    run                 text COLLATE "C" NOT NULL,
    shard               smallint NOT NULL,
    opened              bigint NOT NULL,
    quarantined         bigint NOT NULL,
    healed              bigint NOT NULL,
    PRIMARY KEY (run, shard)
) WITH (fillfactor = 50);
COMMENT ON TABLE immune.case_totals IS 'Owner: quarantine.';

-- An event gets its place in the order (`sequence`) after the transaction that wrote it has committed, from whoever
-- reads or announces next (immune.number_events). A number drawn while writing would appear to readers out of order
-- when the transactions commit out of order, and a reader that goes on after the highest number it has seen would
-- miss the late one for good.
CREATE TABLE immune.events (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sequence            bigint,
    at                  timestamptz NOT NULL,
    kind                text NOT NULL,
    case_id             text COLLATE "C" NOT NULL,
    run                 text COLLATE "C" NOT NULL,
    agent               text COLLATE "C" NOT NULL,
    text                text NOT NULL,
    payload             jsonb NOT NULL
);
COMMENT ON TABLE immune.events IS 'Owner: quarantine. The outbox.';
CREATE UNIQUE INDEX events_in_order ON immune.events (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX events_without_place ON immune.events (id) WHERE sequence IS NULL;
CREATE INDEX events_by_time ON immune.events (at);

-- The last place that was given. Its row is the lock under which places are given.
CREATE TABLE immune.event_place (
    is_only             boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    last                bigint NOT NULL
);
COMMENT ON TABLE immune.event_place IS 'Owner: quarantine.';
INSERT INTO immune.event_place (last) VALUES (0);
