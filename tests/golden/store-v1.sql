-- A database of schema 1, as punie 0.1 wrote it. Never edited: what was released stays.
BEGIN TRANSACTION;
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
INSERT INTO "outcomes" VALUES('20261121-010203-abcd','p0',0,1,NULL,1.0,1,'{"prompt_id":"p0","prompt_hash":"h","completion":{"text":"½ fine","latency_s":0.5},"scores":[{"scorer":"exact","value":1.0,"passed":true}],"score":1.0,"passed":true}');
INSERT INTO "outcomes" VALUES('20261121-010203-abcd','p1',0,1,'timed out',NULL,NULL,'{"prompt_id":"p1","prompt_hash":"h","kind":"timed out","message":"no answer"}');
INSERT INTO "outcomes" VALUES('20261121-010203-abcd','p2',0,1,'timed out',NULL,NULL,'{"prompt_id":"p2","prompt_hash":"h","kind":"timed out","message":"no answer"}');
INSERT INTO "outcomes" VALUES('20261121-010203-abcd','p1',0,2,NULL,0.0,0,'{"prompt_id":"p1","prompt_hash":"h","completion":{"text":"it''s","latency_s":0.5},"scores":[{"scorer":"exact","value":0.0,"passed":false,"culprit":"wrong answer","note":"expected a, got b"}],"score":0.0,"passed":false}');
CREATE TABLE prompts (
    key       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    id        TEXT NOT NULL,
    body      TEXT NOT NULL,     -- EvalPrompt, as JSON
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;
INSERT INTO "prompts" VALUES('5f41026658384cf473be1ca55270aeeadd066f30fc939f325224b2465f058ec7',0,'p0','{"id":"p0","messages":[{"role":"user","content":"q0"}],"hash":"h0"}');
INSERT INTO "prompts" VALUES('5f41026658384cf473be1ca55270aeeadd066f30fc939f325224b2465f058ec7',1,'p1','{"id":"p1","messages":[{"role":"user","content":"q1"}],"hash":"h1"}');
INSERT INTO "prompts" VALUES('5f41026658384cf473be1ca55270aeeadd066f30fc939f325224b2465f058ec7',2,'p2','{"id":"p2","messages":[{"role":"user","content":"q2"}],"hash":"h2"}');
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
INSERT INTO "runs" VALUES('20261121-010203-abcd','2026-11-21T01:02:03.000+00:00','done','s','suite-hash','m',NULL,0.5,'5f41026658384cf473be1ca55270aeeadd066f30fc939f325224b2465f058ec7','{"schema_version":1,"name":"s","version":"1","description":"","source":"","sampling":{"temperature":0.0,"max_tokens":512,"top_p":null,"top_k":null,"min_p":null,"seed":null,"stop":[]},"prompts":[],"hash":"suite-hash"}','{"schema_version":1,"id":"20261121-010203-abcd","created_at":"2026-11-21T01:02:03.000+00:00","suite_name":"s","suite_version":"1","suite_hash":"suite-hash","suite_source":"builtin","model":{"name":"m","backend":"mlx","url":null,"weights_hash":null,"model_hash":null,"template_hash":null,"parameters":null,"dtype":null,"adapter":null,"adapter_hash":null,"builtin_demo":false},"sampling":{"temperature":0.0,"max_tokens":512,"top_p":null,"top_k":null,"min_p":null,"seed":null,"stop":[]},"concurrency":1,"repeats":1,"tools_mode":"auto","selection":{},"provenance":{"command":"","versions":{},"hardware":"","platform":"","git_commit":null,"git_dirty":null},"status":"done","checks":null,"incidents":[],"summary":{"score":{"value":0.5,"low":0.09453120573423074,"high":0.9054687942657692,"n":2},"passed":{"value":0.5,"low":0.09453120573423074,"high":0.9054687942657692,"n":2},"answered_rate":{"value":0.6666666666666666,"low":0.20765960080204782,"high":0.9385080552796038,"n":3},"prompts":3,"repeats":1,"answered":2,"unscored":0,"faults":1,"fault_kinds":{"timed out":1},"culprits":{"wrong answer":1},"must_pass_failed":[],"truncated":0,"recovered":0,"retried":0,"retry_reasons":{},"categories":[{"name":"general","score":{"value":0.5,"low":0.09453120573423074,"high":0.9054687942657692,"n":2},"passed":{"value":0.5,"low":0.09453120573423074,"high":0.9054687942657692,"n":2},"prompts":3,"answered":2,"faults":1}],"roles":[],"tags":[],"latency":{"mean":0.5,"median":0.5,"p95":0.5,"min":0.5,"max":0.5,"n":2},"first_token":null,"tokens_in":null,"tokens_out":null,"tokens_per_second":null,"wall_s":0.0,"peak_memory_bytes":null,"cost":null}}');
CREATE INDEX runs_by_time ON runs (created_at DESC, id DESC);
PRAGMA user_version = 1;
COMMIT;
