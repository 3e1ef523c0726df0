-- What the totals of imported series were when they were last read: the next reading adds the difference. Times are
-- milliseconds since 1970.
CREATE TABLE baseline (
    series  INTEGER NOT NULL,
    key     TEXT    NOT NULL,              -- '' for the series itself, else which of those that it stands for
    at      INTEGER NOT NULL,              -- when it was read; without a change noted hourly
    created INTEGER,                       -- when the totals were zero
    total   REAL,                          -- of a counter its value, of a histogram its sum, if that is known
    cnt     INTEGER,                       -- of a histogram
    below   BLOB,                          -- of a histogram: limit and number of values up to it, 8 bytes each
    PRIMARY KEY (series, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX baseline_shared ON baseline (at) WHERE key <> '';
