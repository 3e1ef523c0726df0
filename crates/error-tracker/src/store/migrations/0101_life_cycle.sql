-- What a report rewrites each time is cut loose from what it never changes: a group's row now holds numbers only (some
-- eighty bytes, fifty to a page), its texts have a table of their own. Counting by the hour happens in that row, too:
-- an hour of a group is written out once, when its first report of a later hour arrives.

-- The identity of groups. A group answers to several keys: the fingerprint of the original, the stable one, those its
-- clients gave, and all keys of the groups that were merged into it. key = one letter (its kind) and 16 bytes.
CREATE TABLE group_keys (
  project INTEGER NOT NULL,
  key BLOB NOT NULL,
  group_id INTEGER NOT NULL,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;
CREATE INDEX group_keys_group ON group_keys (group_id);

DROP VIEW errors;
DROP VIEW error_occurrences;
ALTER TABLE error_groups RENAME TO old_groups;

-- type, message and traceback as first reported.
CREATE TABLE group_texts (
  group_id INTEGER PRIMARY KEY,
  exception_type TEXT NOT NULL,
  message TEXT NOT NULL,
  traceback TEXT NOT NULL
);
INSERT INTO group_texts (group_id, exception_type, message, traceback)
  SELECT g.id, g.exception_type, g.message, t.traceback
  FROM old_groups g JOIN group_tracebacks t ON t.group_id = g.id;

-- state: 0 open, 1 resolved, 2 ignored. source: 1 when any report came from a page, ever.
-- fresh_at: when it was created or last came back. texts: 8 bytes each of the MD5 of message and traceback, NULL when
-- unknown. hour, hour_count: the hour of the newest report (unix time / 3600000) and the reports in it, not yet in
-- group_hours. facets: the ids of its newest facets, 8 bytes each. count_rank, users_rank: copies of count and users,
-- refreshed in batches, because an index on what changes with every report is what limits a service.
CREATE TABLE error_groups (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL REFERENCES projects (id),
  fingerprint BLOB NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  source INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 1,
  users INTEGER NOT NULL DEFAULT 0,
  sessions INTEGER NOT NULL DEFAULT 0,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  fresh_at INTEGER NOT NULL,
  resolved_at INTEGER,
  hour INTEGER NOT NULL,
  hour_count INTEGER NOT NULL,
  texts BLOB,
  facets BLOB,
  count_rank INTEGER,
  users_rank INTEGER
);
INSERT INTO error_groups (id, project, fingerprint, state, source, count, sessions, first_seen, last_seen, fresh_at, resolved_at,
    hour, hour_count, count_rank, users_rank)
  SELECT g.id, g.project, g.fingerprint, g.state, g.source, g.count, g.sessions, g.first_seen, g.last_seen, g.first_seen,
    g.resolved_at, g.last_seen / 3600000,
    coalesce((SELECT h.count FROM group_hours h WHERE h.hour = g.last_seen / 3600000 AND h.group_id = g.id), 0), g.count, 0
  FROM old_groups g;
-- Numbers of deleted groups are never used again.
DELETE FROM sqlite_sequence WHERE name = 'error_groups';
INSERT INTO sqlite_sequence (name, seq) SELECT 'error_groups', seq FROM sqlite_sequence WHERE name = 'old_groups';
INSERT INTO group_keys (project, key, group_id)
  SELECT project, unhex('6F' || hex(fingerprint)), id FROM old_groups;

DROP TABLE group_tracebacks;
DROP TABLE old_groups;

-- A list of any state and source reads a few of these ranges and merges them.
CREATE INDEX error_groups_seen ON error_groups (state, source, last_seen);
CREATE INDEX error_groups_project_seen ON error_groups (project, state, source, last_seen);
CREATE INDEX error_groups_first ON error_groups (state, first_seen);
CREATE INDEX error_groups_project_first ON error_groups (project, state, first_seen);
CREATE INDEX error_groups_count ON error_groups (state, count_rank) WHERE count_rank IS NOT NULL;
CREATE INDEX error_groups_project_count ON error_groups (project, state, count_rank) WHERE count_rank IS NOT NULL;
CREATE INDEX error_groups_users ON error_groups (state, users_rank) WHERE users_rank IS NOT NULL;
CREATE INDEX error_groups_project_users ON error_groups (project, state, users_rank) WHERE users_rank IS NOT NULL;
CREATE INDEX error_groups_fresh ON error_groups (fresh_at);
CREATE INDEX error_groups_resolved ON error_groups (resolved_at) WHERE resolved_at IS NOT NULL;
-- Groups whose ranks have to be worked out.
CREATE INDEX error_groups_unranked ON error_groups (id) WHERE count_rank IS NULL;

CREATE TRIGGER error_groups_added AFTER INSERT ON error_groups BEGIN
  INSERT INTO group_counts (project, state, source, groups) VALUES (new.project, new.state, new.source, 1)
    ON CONFLICT (project, state, source) DO UPDATE SET groups = groups + 1;
END;
CREATE TRIGGER error_groups_removed AFTER DELETE ON error_groups BEGIN
  UPDATE group_counts SET groups = groups - 1
    WHERE project = old.project AND state = old.state AND source = old.source;
END;
CREATE TRIGGER error_groups_moved AFTER UPDATE OF project, state, source ON error_groups BEGIN
  UPDATE group_counts SET groups = groups - 1
    WHERE project = old.project AND state = old.state AND source = old.source;
  INSERT INTO group_counts (project, state, source, groups) VALUES (new.project, new.state, new.source, 1)
    ON CONFLICT (project, state, source) DO UPDATE SET groups = groups + 1;
END;

-- Reports of a group in each finished hour of the last 30 days. The running hour is in error_groups.hour_count.
ALTER TABLE group_hours RENAME TO old_group_hours;
CREATE TABLE group_hours (
  group_id INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (group_id, hour)
) WITHOUT ROWID;
INSERT INTO group_hours (group_id, hour, count)
  SELECT h.group_id, h.hour, h.count FROM old_group_hours h JOIN error_groups g ON g.id = h.group_id WHERE h.hour <> g.hour;
DROP TABLE old_group_hours;

-- Reports of each project and source in each hour, the running one included.
CREATE TABLE project_hours (
  hour INTEGER NOT NULL,
  project INTEGER NOT NULL,
  source INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (hour, project, source)
) WITHOUT ROWID;
INSERT INTO project_hours (hour, project, source, count)
  SELECT hour, project, source, sum(count) FROM (
    SELECT h.hour, g.project, g.source, h.count FROM group_hours h JOIN error_groups g ON g.id = h.group_id
    UNION ALL SELECT hour, project, source, hour_count FROM error_groups WHERE hour_count > 0
  ) GROUP BY 1, 2, 3;

-- What groups can be filtered by. id = 8 bytes of the MD5 of kind and value, so that no report has to look it up.
-- kind: 1 level, 2 release, 3 environment, 4 server name, 5 tag ("key:value").
CREATE TABLE facets (
  id INTEGER NOT NULL,
  project INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  value TEXT NOT NULL,
  groups INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  PRIMARY KEY (id, project)
) WITHOUT ROWID;
CREATE INDEX facets_of ON facets (project, kind);
CREATE TABLE group_facets (
  facet INTEGER NOT NULL,
  group_id INTEGER NOT NULL,
  PRIMARY KEY (facet, group_id)
) WITHOUT ROWID;

-- The users each group was seen by, a ring of the newest 1,000 by group. user = 8 bytes of the MD5 of the id. Beyond
-- 1,000 they are counted by a sketch.
CREATE TABLE group_users (
  group_id INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  user INTEGER NOT NULL,
  PRIMARY KEY (group_id, slot)
) WITHOUT ROWID;
CREATE UNIQUE INDEX group_users_user ON group_users (user, group_id);
CREATE TABLE group_user_sketches (
  group_id INTEGER PRIMARY KEY,
  sketch BLOB NOT NULL
);

-- What people decided about a group, as long as it holds. ignored_until: unix milliseconds; ignored_count: the count at
-- which it comes back; both NULL in the state "ignored": for ever.
CREATE TABLE group_decisions (
  group_id INTEGER PRIMARY KEY,
  ignored_until INTEGER,
  ignored_count INTEGER,
  resolved_release TEXT,
  note TEXT
);
CREATE INDEX group_decisions_until ON group_decisions (ignored_until) WHERE ignored_until IS NOT NULL;
-- The newest 200 of each group. detail: a JSON object or NULL.
CREATE TABLE group_history (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  group_id INTEGER NOT NULL,
  time INTEGER NOT NULL,
  action TEXT NOT NULL,
  detail TEXT
);
CREATE INDEX group_history_group ON group_history (group_id, id);

-- Words of the groups' texts. Filled in slices behind the reports: groups above the watermark are not in it yet.
CREATE VIRTUAL TABLE group_search USING fts5(
  exception_type, message, traceback, content = '', contentless_delete = 1, tokenize = 'unicode61'
);
-- The service merges its parts in slices: left to itself, the index does much of that at once, and reports wait for it.
INSERT INTO group_search (group_search, rank) VALUES ('automerge', 0);
CREATE TABLE search_watermark (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  group_id INTEGER NOT NULL
);
INSERT INTO search_watermark (id, group_id) VALUES (1, 0);

-- For people and scripts that look into the file: the tables as the original service had them.
CREATE VIEW errors AS
  SELECT g.id, lower(hex(g.fingerprint)) AS fingerprint, p.name AS project, t.exception_type, t.message, t.traceback,
    g.count, strftime('%Y-%m-%dT%H:%M:%SZ', g.first_seen / 1000, 'unixepoch') AS first_seen,
    strftime('%Y-%m-%dT%H:%M:%SZ', g.last_seen / 1000, 'unixepoch') AS last_seen, g.state = 1 AS resolved,
    strftime('%Y-%m-%dT%H:%M:%SZ', g.resolved_at / 1000, 'unixepoch') AS resolved_at
  FROM error_groups g
  JOIN projects p ON p.id = g.project
  JOIN group_texts t ON t.group_id = g.id;
CREATE VIEW error_occurrences AS
  SELECT o.number AS id, o.slot / 8 AS error_id, strftime('%Y-%m-%dT%H:%M:%SZ', o.time / 1000, 'unixepoch') AS timestamp,
    o.request_url, o.request_method, o.request_headers, o.user_id, o.extra, coalesce(o.traceback, t.traceback) AS traceback
  FROM occurrences o
  JOIN group_texts t ON t.group_id = o.slot / 8;
