-- How many series a name has; they are bounded for each name, too.
ALTER TABLE name ADD COLUMN series INTEGER NOT NULL DEFAULT 0;
UPDATE name SET series = (SELECT count(*) FROM series WHERE series.name_id = name.id);
