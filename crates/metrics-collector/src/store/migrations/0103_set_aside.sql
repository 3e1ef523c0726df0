-- What was left out when a file of the original was taken over, as it stood there: points and rollups whose time, type or
-- figures nobody can read.
CREATE TABLE set_aside (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,                 -- point, minute or hour
    at      TEXT,
    project TEXT,
    name    TEXT,
    type    TEXT,
    labels  TEXT,
    figures TEXT                           -- the value; of rollups count, sum, least and greatest
) STRICT;
