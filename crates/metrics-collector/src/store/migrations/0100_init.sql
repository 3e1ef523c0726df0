-- Times are milliseconds since 1970-01-01T00:00:00Z; a bucket is named by its start.

-- '' is "no project".
CREATE TABLE project (
    id     INTEGER PRIMARY KEY,
    name   TEXT    NOT NULL UNIQUE,
    series INTEGER NOT NULL DEFAULT 0      -- how many series it has
) STRICT;

CREATE TABLE name (
    id      INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    name    TEXT    NOT NULL,
    type    INTEGER NOT NULL,              -- 0 counter, 1 gauge, 2 histogram
    UNIQUE (project, name, type)
) STRICT;
CREATE INDEX name_by_name ON name (name);

CREATE TABLE series (
    id        INTEGER PRIMARY KEY,
    name_id   INTEGER NOT NULL REFERENCES name (id),
    labels    TEXT    NOT NULL,            -- canonical JSON, '' when there are none
    last_seen INTEGER NOT NULL,            -- to the hour; written by the rollup, never by ingest
    UNIQUE (name_id, labels)
) STRICT;

-- The points of one batch that fall into one minute. id = minute number << 28 | sequence: clustered by minute without
-- an index, and retention deletes a range.
CREATE TABLE block (
    id   INTEGER PRIMARY KEY,
    n    INTEGER NOT NULL,                 -- points
    data BLOB    NOT NULL
) STRICT;

-- Minutes whose rollup rows do not show all of their blocks; they are answered from the blocks.
CREATE TABLE dirty_minute (minute INTEGER PRIMARY KEY) STRICT;
-- Hours whose rollup rows do not show all of their minutes. A late point merged into a minute raises the version.
CREATE TABLE dirty_hour (hour INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;

-- Points received for each minute, as of its last rollup.
CREATE TABLE received (minute INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;

-- raw_floor: minutes before it have no blocks, late points are merged into their rows.
-- minute_floor: hours before it have no minute rows. last_rolled: the newest minute closed by the rollup.
CREATE TABLE watermark (key TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- One row per series and minute. p50, p95, p99 are exact and only there for histograms whose points were at hand.
CREATE TABLE roll_minute (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE roll_hour (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket, series)
) STRICT, WITHOUT ROWID;

-- The same over all series of a name, so that a dashboard need not read them one by one.
CREATE TABLE total_minute (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE total_hour (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

-- The rollups as the original's table of this name showed them, for people and scripts that read the file.
CREATE VIEW metrics_aggregated AS
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', r.bucket / 1000, 'unixepoch') AS bucket, r.resolution, name.name,
       nullif(series.labels, '') AS labels, r.cnt AS count, r.sum, r.min, r.max, r.sum / r.cnt AS avg,
       r.p50, r.p95, r.p99, nullif(project.name, '') AS project
FROM (SELECT 'minute' AS resolution, * FROM roll_minute UNION ALL SELECT 'hour', * FROM roll_hour) AS r
JOIN series ON series.id = r.series
JOIN name ON name.id = r.name_id
JOIN project ON project.id = name.project;
