-- A head for each training and each benchmark; the columns beside it are for finding and listing.
-- There are so few of them that they need no index.
CREATE TABLE trainings (
    id          TEXT PRIMARY KEY,
    created_at  TEXT NOT NULL,
    status      TEXT NOT NULL,
    name        TEXT NOT NULL,   -- the adapter's
    base        TEXT NOT NULL,
    data_hash   TEXT NOT NULL,
    head        TEXT NOT NULL    -- TrainingRun, as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE benchmarks (
    id          TEXT PRIMARY KEY,
    created_at  TEXT NOT NULL,
    status      TEXT NOT NULL,
    name        TEXT NOT NULL,   -- the model's
    head        TEXT NOT NULL    -- BenchmarkResult, as JSON
) STRICT, WITHOUT ROWID;
