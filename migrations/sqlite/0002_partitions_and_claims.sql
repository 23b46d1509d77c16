-- How far the profiles of a partition of the vitals bus are, and under which tenure they may be changed.
CREATE TABLE partitions (
    partition            INTEGER PRIMARY KEY,
    fence                INTEGER NOT NULL,
    place                TEXT
) STRICT;

-- Who drives the levers of an unsettled case, and until when nobody else does.
ALTER TABLE cases ADD COLUMN claimed_by TEXT;
ALTER TABLE cases ADD COLUMN claimed_until INTEGER;

-- Whether the agent is to be contained now; `was_quarantined` says whether it ever was. An open case that ever was
-- counts as one that still is until it is saved again: the blast radius errs on the careful side.
ALTER TABLE cases ADD COLUMN is_contained INTEGER NOT NULL DEFAULT 0;
UPDATE cases SET is_contained = was_quarantined WHERE is_open = 1;
CREATE INDEX cases_contained ON cases (run) WHERE is_open = 1 AND is_contained = 1;
