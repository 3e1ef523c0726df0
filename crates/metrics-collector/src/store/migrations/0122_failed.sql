-- Series of requests that failed: those whose label `status` begins with 5. Labels are canonical JSON, in which a quote
-- inside of a name or value stands behind a backslash.
ALTER TABLE series ADD COLUMN failed INTEGER NOT NULL
    GENERATED ALWAYS AS (instr(labels, '{"status":"5') = 1 OR instr(labels, ',"status":"5') > 0) VIRTUAL;
CREATE INDEX series_failed ON series (name_id) WHERE failed;

-- What those of a name have together, where there are any: what the totals are of all its series.
CREATE TABLE failed_minute (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, cnt INTEGER NOT NULL, sum REAL NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE failed_hour (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, cnt INTEGER NOT NULL, sum REAL NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE failed_day (
    name_id INTEGER NOT NULL, bucket INTEGER NOT NULL, cnt INTEGER NOT NULL, sum REAL NOT NULL,
    PRIMARY KEY (name_id, bucket)
) STRICT, WITHOUT ROWID;

-- A sum beyond the largest double is held there.
INSERT INTO failed_minute
SELECT r.name_id, r.bucket, sum(r.cnt), max(-1.7976931348623157e308, min(1.7976931348623157e308, coalesce(sum(r.sum), 0.0)))
FROM roll_minute AS r JOIN series ON series.id = r.series AND series.failed
WHERE r.name_id IN (SELECT name_id FROM series WHERE failed) GROUP BY r.name_id, r.bucket;

INSERT INTO failed_hour
SELECT r.name_id, r.bucket, sum(r.cnt), max(-1.7976931348623157e308, min(1.7976931348623157e308, coalesce(sum(r.sum), 0.0)))
FROM roll_hour AS r JOIN series ON series.id = r.series AND series.failed
WHERE r.name_id IN (SELECT name_id FROM series WHERE failed) GROUP BY r.name_id, r.bucket;

INSERT INTO failed_day
SELECT r.name_id, r.bucket, sum(r.cnt), max(-1.7976931348623157e308, min(1.7976931348623157e308, coalesce(sum(r.sum), 0.0)))
FROM roll_day AS r JOIN series ON series.id = r.series AND series.failed
WHERE r.name_id IN (SELECT name_id FROM series WHERE failed) GROUP BY r.name_id, r.bucket;
