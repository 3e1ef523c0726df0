-- The fields of structured lines, as words of the filter column: a filter by a field is a look-up in the index.

ALTER TABLE e0 ADD COLUMN fields TEXT;
DROP VIEW v0;
CREATE VIEW v0 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e0;

ALTER TABLE e1 ADD COLUMN fields TEXT;
DROP VIEW v1;
CREATE VIEW v1 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e1;

ALTER TABLE e2 ADD COLUMN fields TEXT;
DROP VIEW v2;
CREATE VIEW v2 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e2;

ALTER TABLE e3 ADD COLUMN fields TEXT;
DROP VIEW v3;
CREATE VIEW v3 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e3;

ALTER TABLE e4 ADD COLUMN fields TEXT;
DROP VIEW v4;
CREATE VIEW v4 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e4;

ALTER TABLE e5 ADD COLUMN fields TEXT;
DROP VIEW v5;
CREATE VIEW v5 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e5;

ALTER TABLE e6 ADD COLUMN fields TEXT;
DROP VIEW v6;
CREATE VIEW v6 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e6;

ALTER TABLE e7 ADD COLUMN fields TEXT;
DROP VIEW v7;
CREATE VIEW v7 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e7;

ALTER TABLE e8 ADD COLUMN fields TEXT;
DROP VIEW v8;
CREATE VIEW v8 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e8;

ALTER TABLE e9 ADD COLUMN fields TEXT;
DROP VIEW v9;
CREATE VIEW v9 AS SELECT id, coalesce(plain, message) AS message, 'l' || level || ' c' || container || ' s' || stream || coalesce(' ' || fields, '') AS k FROM e9;
