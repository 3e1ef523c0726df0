-- Reports over time are shown split into those of new errors and of known ones. That split is counted as reports arrive:
-- looking up all groups that were new took seconds after a storm.

-- Reports of each project and source in each hour, by the hour since when their groups were new: see
-- domain::window::new_since.
ALTER TABLE project_hours RENAME TO old_project_hours;
CREATE TABLE project_hours (
  hour INTEGER NOT NULL,
  project INTEGER NOT NULL,
  source INTEGER NOT NULL,
  new_since INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (hour, project, source, new_since)
) WITHOUT ROWID;
CREATE TEMP TABLE counted AS
  SELECT hour, project, source, CASE
      WHEN hour - fresh <= 72 THEN min(fresh, hour)
      WHEN hour - fresh <= 348 THEN fresh / 6 * 6
      WHEN hour - fresh <= 768 THEN fresh / 24 * 24
      ELSE -1000000000
    END AS new_since, sum(count) AS count
  FROM (
    SELECT h.hour, g.project, g.source, g.fresh_at / 3600000 AS fresh, h.count
      FROM group_hours h JOIN error_groups g ON g.id = h.group_id
    UNION ALL SELECT hour, project, source, fresh_at / 3600000, hour_count FROM error_groups WHERE hour_count > 0
  ) GROUP BY 1, 2, 3, 4;
INSERT INTO project_hours (hour, project, source, new_since, count)
  SELECT hour, project, source, new_since, count FROM counted;
-- What is left are the reports of groups that were deleted.
INSERT INTO project_hours (hour, project, source, new_since, count)
  SELECT hour, project, source, -1000000000, count - known FROM (
    SELECT o.hour, o.project, o.source, o.count,
      (SELECT coalesce(sum(c.count), 0) FROM counted c
        WHERE c.hour = o.hour AND c.project = o.project AND c.source = o.source) AS known
    FROM old_project_hours o
  ) WHERE count > known
  ON CONFLICT (hour, project, source, new_since) DO UPDATE SET count = count + excluded.count;
DROP TABLE counted;
DROP TABLE old_project_hours;

-- How many of the open groups were new or came back in each hour.
CREATE TABLE fresh_groups (
  hour INTEGER NOT NULL,
  project INTEGER NOT NULL,
  source INTEGER NOT NULL,
  groups INTEGER NOT NULL,
  PRIMARY KEY (hour, project, source)
) WITHOUT ROWID;
INSERT INTO fresh_groups (hour, project, source, groups)
  SELECT fresh_at / 3600000, project, source, count(*) FROM error_groups WHERE state = 0 GROUP BY 1, 2, 3;
DROP INDEX error_groups_fresh;
-- Of development versions.
DROP INDEX IF EXISTS error_groups_unranked;

CREATE TRIGGER fresh_groups_added AFTER INSERT ON error_groups WHEN new.state = 0 BEGIN
  INSERT INTO fresh_groups (hour, project, source, groups) VALUES (new.fresh_at / 3600000, new.project, new.source, 1)
    ON CONFLICT (hour, project, source) DO UPDATE SET groups = groups + 1;
END;
CREATE TRIGGER fresh_groups_removed AFTER DELETE ON error_groups WHEN old.state = 0 BEGIN
  UPDATE fresh_groups SET groups = groups - 1
    WHERE hour = old.fresh_at / 3600000 AND project = old.project AND source = old.source;
END;
CREATE TRIGGER fresh_groups_moved AFTER UPDATE OF project, state, source, fresh_at ON error_groups BEGIN
  UPDATE fresh_groups SET groups = groups - 1
    WHERE old.state = 0 AND hour = old.fresh_at / 3600000 AND project = old.project AND source = old.source;
  INSERT INTO fresh_groups (hour, project, source, groups)
    SELECT new.fresh_at / 3600000, new.project, new.source, 1 WHERE new.state = 0
    ON CONFLICT (hour, project, source) DO UPDATE SET groups = groups + 1;
END;
