-- Sources that the build says are not of the app (`ignoreList` of the map).
ALTER TABLE map_source ADD COLUMN ignored INTEGER NOT NULL DEFAULT 0 CHECK (ignored IN (0, 1));
