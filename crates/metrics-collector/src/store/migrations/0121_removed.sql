-- Names that were removed by hand. removed: the last minute with blocks at that time, in milliseconds since 1970; before its
-- blocks are gone they may hold points of the name's series, whose numbers must not be used again. NULL: it is there.
ALTER TABLE name ADD COLUMN removed INTEGER;
CREATE INDEX name_removed ON name (id) WHERE removed IS NOT NULL;

DROP VIEW metrics_aggregated;
CREATE VIEW metrics_aggregated AS
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', r.bucket / 1000, 'unixepoch') AS bucket, r.resolution, name.name,
       nullif(series.labels, '') AS labels, r.cnt AS count, r.sum, r.min, r.max, r.sum / r.cnt AS avg,
       r.p50, r.p95, r.p99, nullif(project.name, '') AS project
FROM (SELECT 'minute' AS resolution, * FROM roll_minute UNION ALL SELECT 'hour', * FROM roll_hour) AS r
JOIN series ON series.id = r.series
JOIN name ON name.id = r.name_id AND name.removed IS NULL
JOIN project ON project.id = name.project;
