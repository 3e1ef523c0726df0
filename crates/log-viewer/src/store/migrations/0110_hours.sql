-- The counts of `hist` once more per hour, for spans of days and weeks: a quiet service has about as many rows in `hist` as
-- it has entries.
CREATE TABLE hist_hour(hour INTEGER, container INTEGER, level INTEGER, stream INTEGER, n INTEGER NOT NULL, PRIMARY KEY (hour, container, level, stream)) WITHOUT ROWID;
INSERT INTO hist_hour(hour, container, level, stream, n)
SELECT (minute - (minute % 60 + 60) % 60) / 60, container, level, stream, sum(n) FROM hist GROUP BY 1, 2, 3, 4;
