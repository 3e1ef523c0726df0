-- Times are unix milliseconds. Everything that changes with each report is kept small and together, because the number
-- of pages a commit touches is what limits how many reports a second can be stored.

CREATE TABLE projects (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

-- One row for each distinct error of a project. state: 0 unresolved, 1 resolved. source: 1 when any report came from a page.
CREATE TABLE error_groups (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project INTEGER NOT NULL REFERENCES projects (id),
  fingerprint BLOB NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  source INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 1,
  sessions INTEGER NOT NULL DEFAULT 0,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  resolved_at INTEGER,
  exception_type TEXT NOT NULL,
  message TEXT NOT NULL
);
CREATE UNIQUE INDEX error_groups_identity ON error_groups (project, fingerprint);
-- A list of any state and source reads a few of these ranges and merges them; each further index on last_seen would be
-- rewritten with every report.
CREATE INDEX error_groups_seen ON error_groups (state, source, last_seen);
CREATE INDEX error_groups_project_seen ON error_groups (project, state, source, last_seen);
CREATE INDEX error_groups_resolved ON error_groups (resolved_at) WHERE resolved_at IS NOT NULL;

-- Of each group's first report; apart from the groups, so that lists need not step over it.
CREATE TABLE group_tracebacks (
  group_id INTEGER PRIMARY KEY,
  traceback TEXT NOT NULL
);

-- The newest five reports of each group, a ring: slot = group_id * 8 + (number of the report in its group - 1) % 5.
-- message and traceback are NULL where they equal the group's. number counts the reports of all groups.
CREATE TABLE occurrences (
  slot INTEGER PRIMARY KEY,
  number INTEGER NOT NULL,
  time INTEGER NOT NULL,
  message TEXT,
  traceback TEXT,
  request_url TEXT,
  request_method TEXT,
  request_headers TEXT,
  user_id TEXT,
  extra TEXT,
  level TEXT,
  release TEXT,
  environment TEXT,
  server_name TEXT,
  tags TEXT
);

CREATE TABLE last_occurrence (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL
);
INSERT INTO last_occurrence (id, number) VALUES (1, 0);

-- Reports of each group in each hour (unix time / 3600000). The hour first: all writes of an hour share a few pages, and
-- old hours are one range.
CREATE TABLE group_hours (
  hour INTEGER NOT NULL,
  group_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (hour, group_id)
) WITHOUT ROWID;

-- The browser sessions each group was seen in, a ring of the newest ones by group. session is the MD5 of its id.
CREATE TABLE group_sessions (
  group_id INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  session BLOB NOT NULL,
  PRIMARY KEY (group_id, slot)
) WITHOUT ROWID;
CREATE UNIQUE INDEX group_sessions_session ON group_sessions (session, group_id);

-- How many groups there are of each kind, so that no list has to count them.
CREATE TABLE group_counts (
  project INTEGER NOT NULL,
  state INTEGER NOT NULL,
  source INTEGER NOT NULL,
  groups INTEGER NOT NULL,
  PRIMARY KEY (project, state, source)
) WITHOUT ROWID;
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

-- For people and scripts that look into the file: the tables as the original service had them.
CREATE VIEW errors AS
  SELECT g.id, lower(hex(g.fingerprint)) AS fingerprint, p.name AS project, g.exception_type, g.message, t.traceback,
    g.count, strftime('%Y-%m-%dT%H:%M:%SZ', g.first_seen / 1000, 'unixepoch') AS first_seen,
    strftime('%Y-%m-%dT%H:%M:%SZ', g.last_seen / 1000, 'unixepoch') AS last_seen, g.state = 1 AS resolved,
    strftime('%Y-%m-%dT%H:%M:%SZ', g.resolved_at / 1000, 'unixepoch') AS resolved_at
  FROM error_groups g
  JOIN projects p ON p.id = g.project
  JOIN group_tracebacks t ON t.group_id = g.id;
CREATE VIEW error_occurrences AS
  SELECT o.number AS id, o.slot / 8 AS error_id, strftime('%Y-%m-%dT%H:%M:%SZ', o.time / 1000, 'unixepoch') AS timestamp,
    o.request_url, o.request_method, o.request_headers, o.user_id, o.extra, coalesce(o.traceback, t.traceback) AS traceback
  FROM occurrences o
  JOIN group_tracebacks t ON t.group_id = o.slot / 8;
