-- A run's head, the prompts that were asked, and one row for each outcome as it came in.
CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    created_at   TEXT NOT NULL,
    status       TEXT NOT NULL,
    suite_name   TEXT NOT NULL,
    suite_hash   TEXT NOT NULL,
    model        TEXT NOT NULL,
    adapter      TEXT,
    score        REAL,
    prompts_key  TEXT NOT NULL,
    suite        TEXT NOT NULL,  -- EvalSuite without its prompts, as JSON
    head         TEXT NOT NULL   -- Run, as JSON
) STRICT;

CREATE INDEX runs_by_time ON runs (created_at DESC, id DESC);

-- Prompts are stored once for all runs that ask the same ones.
CREATE TABLE prompts (
    key       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    id        TEXT NOT NULL,
    body      TEXT NOT NULL,     -- EvalPrompt, as JSON
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE outcomes (
    run        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    prompt_id  TEXT NOT NULL,
    repeat     INTEGER NOT NULL,
    round      INTEGER NOT NULL DEFAULT 1,  -- grows when a fault is asked again by a later command
    fault      TEXT,                        -- the fault's kind, NULL for an answered prompt
    score      REAL,
    passed     INTEGER,
    body       TEXT NOT NULL,               -- EvalResult or EvalFault, as JSON
    UNIQUE (run, prompt_id, repeat, round)
) STRICT;
