-- A day tier beside minutes and hours, in the same form.
CREATE TABLE roll_day (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE total_day (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL,
    cnt INTEGER NOT NULL, sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL,
    last REAL NOT NULL, last_at INTEGER NOT NULL,
    p50 REAL, p95 REAL, p99 REAL, sk BLOB NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

-- Days whose rollup rows do not show all of their hours; a day with a dirty hour is one of them. A late point merged
-- into an hour raises the version. The watermark hour_floor: days before it have no hour rows.
CREATE TABLE dirty_day (day INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;

-- The rollup builds the days of the hours that are there already.
INSERT OR IGNORE INTO dirty_day (day, version)
SELECT DISTINCT bucket - (bucket % 86400000 + 86400000) % 86400000, 0 FROM total_hour;
INSERT OR IGNORE INTO dirty_day (day, version)
SELECT DISTINCT hour - (hour % 86400000 + 86400000) % 86400000, 0 FROM dirty_hour;
