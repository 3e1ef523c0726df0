-- What people are to be told of: one small row each, written in the transaction of what it tells. Times are unix
-- milliseconds. kind: 0 a digest, others are the service's. subject: what it is about, as a group of errors; of a digest
-- the number of alerts in it. told_at: when it was handed to the channels; NULL: not yet, or only as part of a digest.
-- detail, covers_from, covers_to: of a digest, what it says and the alerts it stands for.
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  told_at INTEGER,
  detail TEXT,
  covers_from INTEGER,
  covers_to INTEGER
);
CREATE INDEX alerts_told ON alerts (told_at) WHERE told_at IS NOT NULL;
CREATE INDEX alerts_digests ON alerts (covers_to) WHERE covers_to IS NOT NULL;

-- An alert on its way over one channel. state: 0 pending, 1 sent, 2 failed (refused for good), 3 given up, 4 skipped (its
-- subject is gone). due: when it may be tried next. tried_at: the last attempt. said: the last answer or fault.
CREATE TABLE alert_deliveries (
  alert INTEGER NOT NULL,
  channel TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  tries INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL,
  tried_at INTEGER,
  said TEXT,
  PRIMARY KEY (alert, channel)
) WITHOUT ROWID;
CREATE INDEX alert_deliveries_due ON alert_deliveries (channel, due) WHERE state = 0;

-- How the channels are. failures: in a row. server: whether the last one concerned the server with all its channels.
-- resume_at: nothing is tried before.
CREATE TABLE alert_channels (
  channel TEXT PRIMARY KEY,
  failures INTEGER NOT NULL DEFAULT 0,
  server INTEGER NOT NULL DEFAULT 0,
  resume_at INTEGER NOT NULL DEFAULT 0,
  ok_at INTEGER,
  failed_at INTEGER,
  fault TEXT
) WITHOUT ROWID;

-- dispatched: alerts up to here were told, alone or in a digest. collecting_since: when the alerts after it began to be
-- collected for a digest. instance: makes the ids of messages different from those of other installations.
CREATE TABLE alert_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  dispatched INTEGER NOT NULL,
  collecting_since INTEGER,
  instance TEXT NOT NULL
);
INSERT INTO alert_state (id, dispatched, instance) VALUES (1, 0, lower(hex(randomblob(8))));
