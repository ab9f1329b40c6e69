-- What judges wrote, by the content of the question: judge, wording, rubric and answer.
CREATE TABLE judge_replies (
    key   TEXT PRIMARY KEY,
    body  TEXT NOT NULL      -- Reply, as JSON
) STRICT, WITHOUT ROWID;

-- Which runs a reply was used for: one whose last run is deleted goes with it.
CREATE TABLE judge_uses (
    run  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key  TEXT NOT NULL REFERENCES judge_replies (key) ON DELETE CASCADE,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX judge_uses_by_key ON judge_uses (key);

CREATE TRIGGER judge_replies_unused AFTER DELETE ON judge_uses BEGIN
    DELETE FROM judge_replies WHERE key = OLD.key
        AND NOT EXISTS (SELECT 1 FROM judge_uses WHERE key = OLD.key);
END;

-- The marks for each answer of a run, or why there are none, by each judge that was asked.
CREATE TABLE judgements (
    run        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    judge      TEXT NOT NULL,  -- JudgeIdentity.key
    prompt_id  TEXT NOT NULL,
    repeat     INTEGER NOT NULL,
    fault      TEXT,           -- the fault's kind, NULL where there are marks
    body       TEXT NOT NULL,  -- Judgement or JudgeFault, as JSON
    PRIMARY KEY (run, judge, prompt_id, repeat)
) STRICT, WITHOUT ROWID;
