-- A database of schema 3, with judgements. Never edited: what was released stays.
BEGIN TRANSACTION;
CREATE TABLE benchmarks (
    id          TEXT PRIMARY KEY,
    created_at  TEXT NOT NULL,
    status      TEXT NOT NULL,
    name        TEXT NOT NULL,   -- the model's
    head        TEXT NOT NULL    -- BenchmarkResult, as JSON
) STRICT, WITHOUT ROWID;
INSERT INTO "benchmarks" VALUES('20261121-100000-wxyz','2026-11-21T10:00:00+00:00','done','smollm2-135m','{"schema_version":1,"id":"20261121-100000-wxyz","created_at":"2026-11-21T10:00:00+00:00","model":{"name":"smollm2-135m","backend":"mlx","url":null,"weights_hash":null,"model_hash":null,"template_hash":null,"parameters":null,"dtype":"float32","adapter":null,"adapter_hash":null,"builtin_demo":false,"own_code":[]},"conditions":{"power":"not told","battery_percent":null,"low_power_mode":null,"heat":"not told","celsius":null,"throttled":null,"free_memory_bytes":6000000000,"load_average":null,"busy":null,"cores":2,"blas":null,"warnings":[]},"provenance":{"command":"punie benchmark --grid","versions":{},"hardware":"M3, 8 cores","platform":"","git_commit":null,"git_dirty":null},"status":"done","training":{"schema_version":1,"model_path":"smollm2-135m","shape":{"batch":4,"seq":256,"rank":8,"layers":16},"num_iters":5,"seconds_per_iter":3.0,"iterations":[3.0,2.7,3.3000000000000003,2.8499999999999996,3.1500000000000004],"warmup":[6.0],"compile_seconds":0.4,"load_seconds":1.2,"total_seconds":27.0,"peak_memory_bytes":1900000000,"trainable":900000,"machine":{"device":"cpu","blas":"/usr/lib/libopenblas.so.0","threads":"2"}},"grid":[{"shape":{"batch":4,"seq":256,"rank":8,"layers":16},"end":"measured","measured":{"schema_version":1,"model_path":"smollm2-135m","shape":{"batch":4,"seq":256,"rank":8,"layers":16},"num_iters":5,"seconds_per_iter":3.0,"iterations":[3.0,2.7,3.3000000000000003,2.8499999999999996,3.1500000000000004],"warmup":[6.0],"compile_seconds":0.4,"load_seconds":1.2,"total_seconds":27.0,"peak_memory_bytes":1900000000,"trainable":900000,"machine":{"device":"cpu","blas":"/usr/lib/libopenblas.so.0","threads":"2"}},"seconds_at_least":null,"why":""},{"shape":{"batch":4,"seq":128,"rank":8,"layers":16},"end":"measured","measured":{"schema_version":1,"model_path":"smollm2-135m","shape":{"batch":4,"seq":128,"rank":8,"layers":16},"num_iters":5,"seconds_per_iter":1.6,"iterations":[1.6,1.4400000000000002,1.7600000000000002,1.52,1.6800000000000002],"warmup":[3.2],"compile_seconds":0.4,"load_seconds":1.2,"total_seconds":14.4,"peak_memory_bytes":1900000000,"trainable":900000,"machine":{"device":"cpu","blas":"/usr/lib/libopenblas.so.0","threads":"2"}},"seconds_at_least":null,"why":""},{"shape":{"batch":4,"seq":2048,"rank":8,"layers":16},"end":"too slow","measured":null,"seconds_at_least":61.0,"why":""}],"serving":{"start_seconds":1.4,"cells":[{"prompt_tokens":128,"concurrency":1,"end":"measured","why":"","requests":4,"faults":0,"tokens_in":512,"tokens_cached":0,"tokens_out":128,"prompt_rate":{"least":9.0,"low":9.5,"median":10.0,"high":10.5,"most":11.0,"n":4},"generation_rate":{"least":9.0,"low":9.5,"median":10.0,"high":10.5,"most":11.0,"n":4},"throughput":{"least":9.0,"low":9.5,"median":10.0,"high":10.5,"most":11.0,"n":4},"first_token_s":{"least":0.3,"low":0.3,"median":0.4,"high":0.5,"most":0.6,"n":4}}],"peak_memory_bytes":900000000},"decision":{"pace":"go on","seconds_per_iter":3.0,"sentence":"3.00 s an iteration: go on.","advice":[]},"projection":{"data":"data/weather","rows":120,"tokens":24000,"longest":240,"epochs":3.0,"batch":4,"iterations":90,"seconds":270.0,"assumption":"an iteration takes as long as the measured one"},"problems":[]}');
CREATE TABLE judge_replies (
    key   TEXT PRIMARY KEY,
    body  TEXT NOT NULL      -- Reply, as JSON
) STRICT, WITHOUT ROWID;
INSERT INTO "judge_replies" VALUES('kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk','{"text":"{\"code\": \"0123456789abcdef\", \"reason\": \"½ made up\", \"marks\": {}}","tokens_in":400,"tokens_out":50}');
CREATE TABLE judge_uses (
    run  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key  TEXT NOT NULL REFERENCES judge_replies (key) ON DELETE CASCADE,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "judge_uses" VALUES('20261121-010203-abcd','kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk');
CREATE TABLE judgements (
    run        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    judge      TEXT NOT NULL,  -- JudgeIdentity.key
    prompt_id  TEXT NOT NULL,
    repeat     INTEGER NOT NULL,
    fault      TEXT,           -- the fault's kind, NULL where there are marks
    body       TEXT NOT NULL,  -- Judgement or JudgeFault, as JSON
    PRIMARY KEY (run, judge, prompt_id, repeat)
) STRICT, WITHOUT ROWID;
INSERT INTO "judgements" VALUES('20261121-010203-abcd','9cce90ca694163d3298c8ce69910f4feb958f1b7b4553cae2e634c036544e42d','p0',0,NULL,'{"prompt_id":"p0","prompt_hash":"h","answer_hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","answer_chars":10,"marks":{"correctness":4,"completeness":4,"format":4},"reason":"made up","tokens_in":400,"tokens_out":50}');
INSERT INTO "judgements" VALUES('20261121-010203-abcd','9cce90ca694163d3298c8ce69910f4feb958f1b7b4553cae2e634c036544e42d','p1',0,'prose instead of a judgement','{"prompt_id":"p1","prompt_hash":"h","answer_hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","kind":"prose instead of a judgement","message":"it is no JSON object","asked":2}');
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
CREATE TABLE trainings (
    id          TEXT PRIMARY KEY,
    created_at  TEXT NOT NULL,
    status      TEXT NOT NULL,
    name        TEXT NOT NULL,   -- the adapter's
    base        TEXT NOT NULL,
    data_hash   TEXT NOT NULL,
    head        TEXT NOT NULL    -- TrainingRun, as JSON
) STRICT, WITHOUT ROWID;
INSERT INTO "trainings" VALUES('20261121-085000-abcd','2026-11-21T08:50:00+00:00','done','tiny-weather','smollm2-135m','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','{"schema_version":1,"id":"20261121-085000-abcd","created_at":"2026-11-21T08:50:00+00:00","name":"tiny-weather","status":"done","base":{"name":"smollm2-135m","weights_hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","model_hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","template_hash":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","parameters":134515008,"dtype":"float32"},"data":{"schema_version":1,"name":"weather","hash":"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd","splits":{"train":{"rows":120,"hash":"1111111111111111111111111111111111111111111111111111111111111111","bytes":0},"valid":{"rows":20,"hash":"2222222222222222222222222222222222222222222222222222222222222222","bytes":0}},"created_at":"","origin":"punie data generate tool-calls --seed 7","seed":null,"suite":null,"licence":"CC0-1.0","description":"","notes":[]},"plan":{"schema_version":1,"method":"lora","rank":8,"alpha":32.0,"dropout":0.0,"keys":null,"optimizer":"adam","optimizer_options":{},"schedule":{"curve":"constant","warmup":0,"warmup_from":0.0,"end":0.0,"over":null,"decay":null,"every":null},"batch_size":4,"accumulation":1,"max_length":2048,"masking":"assistant","gradient_checkpointing":false,"seed":0,"order":"shuffle","validation_rows":null,"patience":3,"layers":16,"learning_rate":0.0002,"iterations":100,"validate_every":10,"checkpoint_every":10},"training":{"started_at":"2026-11-21T08:50:00+00:00","steps":100,"epochs":3.3,"tokens":12345,"seconds":310.0,"seconds_per_iteration":3.0,"tokens_per_second":40.0,"peak_memory_bytes":2000000000,"trainable":900000,"ending":"done","parts":1,"exact":true,"machine":{},"losses":[{"step":1,"train":4.0,"valid":null},{"step":2,"train":2.0,"valid":null},{"step":3,"train":1.3333333333333333,"valid":null}]},"chosen":{"step":80,"by":"validation loss","value":0.1234,"suite_hash":null,"candidates":{"80":0.1234}},"failure":"","provenance":{"command":"punie train data/weather","versions":{"mlx":"0.32.4"},"hardware":"M3, 8 cores","platform":"","git_commit":null,"git_dirty":null}}');
CREATE INDEX runs_by_time ON runs (created_at DESC, id DESC);
CREATE INDEX judge_uses_by_key ON judge_uses (key);
CREATE TRIGGER judge_replies_unused AFTER DELETE ON judge_uses BEGIN
    DELETE FROM judge_replies WHERE key = OLD.key
        AND NOT EXISTS (SELECT 1 FROM judge_uses WHERE key = OLD.key);
END;
PRAGMA user_version = 3;
COMMIT;
