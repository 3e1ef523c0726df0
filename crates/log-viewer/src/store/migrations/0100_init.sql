-- Entries live in ten slots that are used in turn. When all are full the oldest is emptied whole, which costs a fraction of
-- deleting rows one by one from a full-text index. Within a slot that is half forgotten, `ring.floor` says from which id on
-- entries count. Nothing is created or dropped at run time.

CREATE TABLE e0(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v0 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e0;
CREATE VIRTUAL TABLE f0 USING fts5(message, k, content='v0', content_rowid='id', columnsize=0);
INSERT INTO f0(f0, rank) VALUES ('automerge', 8);

CREATE TABLE e1(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v1 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e1;
CREATE VIRTUAL TABLE f1 USING fts5(message, k, content='v1', content_rowid='id', columnsize=0);
INSERT INTO f1(f1, rank) VALUES ('automerge', 8);

CREATE TABLE e2(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v2 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e2;
CREATE VIRTUAL TABLE f2 USING fts5(message, k, content='v2', content_rowid='id', columnsize=0);
INSERT INTO f2(f2, rank) VALUES ('automerge', 8);

CREATE TABLE e3(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v3 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e3;
CREATE VIRTUAL TABLE f3 USING fts5(message, k, content='v3', content_rowid='id', columnsize=0);
INSERT INTO f3(f3, rank) VALUES ('automerge', 8);

CREATE TABLE e4(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v4 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e4;
CREATE VIRTUAL TABLE f4 USING fts5(message, k, content='v4', content_rowid='id', columnsize=0);
INSERT INTO f4(f4, rank) VALUES ('automerge', 8);

CREATE TABLE e5(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v5 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e5;
CREATE VIRTUAL TABLE f5 USING fts5(message, k, content='v5', content_rowid='id', columnsize=0);
INSERT INTO f5(f5, rank) VALUES ('automerge', 8);

CREATE TABLE e6(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v6 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e6;
CREATE VIRTUAL TABLE f6 USING fts5(message, k, content='v6', content_rowid='id', columnsize=0);
INSERT INTO f6(f6, rank) VALUES ('automerge', 8);

CREATE TABLE e7(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v7 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e7;
CREATE VIRTUAL TABLE f7 USING fts5(message, k, content='v7', content_rowid='id', columnsize=0);
INSERT INTO f7(f7, rank) VALUES ('automerge', 8);

CREATE TABLE e8(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v8 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e8;
CREATE VIRTUAL TABLE f8 USING fts5(message, k, content='v8', content_rowid='id', columnsize=0);
INSERT INTO f8(f8, rank) VALUES ('automerge', 8);

CREATE TABLE e9(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, container INTEGER NOT NULL, stream INTEGER NOT NULL, level INTEGER NOT NULL, message TEXT NOT NULL, plain TEXT);
CREATE VIEW v9 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream AS k FROM e9;
CREATE VIRTUAL TABLE f9 USING fts5(message, k, content='v9', content_rowid='id', columnsize=0);
INSERT INTO f9(f9, rank) VALUES ('automerge', 8);

-- `plain` is the message without terminal colours, NULL when it has none. `k` holds level, container and stream as words of
-- the index, so that filters cost no join.

CREATE TABLE ring(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next_id INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    -- When containers were last looked for, in milliseconds since 1970; NULL before the first time.
    scanned_ms INTEGER
);
INSERT INTO ring(one, next_id, floor, slot) VALUES (1, 1, 1, 0);

-- The ids a slot holds; NULL when it is empty.
CREATE TABLE slot(n INTEGER PRIMARY KEY, first_id INTEGER, last_id INTEGER);
INSERT INTO slot(n) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);

-- The span of times of every 1024 ids. Ids follow the order of arrival, which is nearly that of time; this says how nearly.
CREATE TABLE fence(block INTEGER PRIMARY KEY, min_time INTEGER NOT NULL, max_time INTEGER NOT NULL);

CREATE TABLE containers(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    project TEXT NOT NULL DEFAULT '',
    service TEXT NOT NULL DEFAULT '',
    UNIQUE (name, project, service)
);

-- How many entries there are, in all and per minute.
CREATE TABLE tally(container INTEGER, level INTEGER, stream INTEGER, n INTEGER NOT NULL, PRIMARY KEY (container, level, stream)) WITHOUT ROWID;
CREATE TABLE hist(minute INTEGER, container INTEGER, level INTEGER, stream INTEGER, n INTEGER NOT NULL, PRIMARY KEY (minute, container, level, stream)) WITHOUT ROWID;

-- How far each file of a container has been read, saved together with the entries that came from it.
CREATE TABLE cursors(
    id INTEGER PRIMARY KEY,
    container_id TEXT NOT NULL,
    file_path TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    head BLOB NOT NULL,
    position INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE INDEX cursors_container ON cursors(container_id);

-- Lines that were read and wait for what belongs to them.
CREATE TABLE open_entries(container_id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;

-- For people and programs that look into the file.
CREATE VIEW log_entries AS
SELECT e.id AS id,
       strftime('%Y-%m-%dT%H:%M:%SZ', e.time / 1000000000, 'unixepoch') AS timestamp,
       c.name AS container,
       CASE e.stream WHEN 1 THEN 'stderr' ELSE 'stdout' END AS stream,
       CASE e.level WHEN 0 THEN 'DEBUG' WHEN 1 THEN 'INFO' WHEN 2 THEN 'WARNING' WHEN 3 THEN 'ERROR' ELSE 'CRITICAL' END AS level,
       e.message AS message,
       NULL AS raw,
       e.time AS time_ns
FROM (
SELECT id, time, container, stream, level, message FROM e0
      UNION ALL SELECT id, time, container, stream, level, message FROM e1
      UNION ALL SELECT id, time, container, stream, level, message FROM e2
      UNION ALL SELECT id, time, container, stream, level, message FROM e3
      UNION ALL SELECT id, time, container, stream, level, message FROM e4
      UNION ALL SELECT id, time, container, stream, level, message FROM e5
      UNION ALL SELECT id, time, container, stream, level, message FROM e6
      UNION ALL SELECT id, time, container, stream, level, message FROM e7
      UNION ALL SELECT id, time, container, stream, level, message FROM e8
      UNION ALL SELECT id, time, container, stream, level, message FROM e9

) AS e
JOIN containers AS c ON c.id = e.container
WHERE e.id >= (SELECT floor FROM ring);
CREATE VIEW log_entries_fts AS SELECT id AS rowid, message FROM log_entries;
