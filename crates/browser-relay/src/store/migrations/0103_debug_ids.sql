-- A map may be found by its debug id alone, so release and file are optional; and by the name of its file.
CREATE TABLE source_maps_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    -- NULL: found by its debug id only.
    release TEXT,
    -- As it was uploaded; NULL as above.
    file_url TEXT,
    -- By which frames find it: file_url without scheme and host.
    path TEXT,
    -- The last part of the path, without a query.
    file_name TEXT,
    -- Lower case, with hyphens.
    debug_id TEXT,
    map_set INTEGER NOT NULL UNIQUE REFERENCES map_sets (id),
    -- Lines of generated code that the mappings reach.
    lines INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    -- Of the map's text.
    size_bytes INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL,
    UNIQUE (project, release, file_url),
    CHECK (debug_id IS NOT NULL OR (release IS NOT NULL AND file_url IS NOT NULL))
) STRICT;

-- New maps get numbers behind all that were ever given.
INSERT INTO sqlite_sequence (name, seq) SELECT 'source_maps_new', seq FROM sqlite_sequence WHERE name = 'source_maps';

INSERT INTO source_maps_new (id, project, release, file_url, path, file_name, map_set, lines, tokens, size_bytes, uploaded_at)
SELECT id, project, release, file_url, path,
    -- What is left of the path when its characters other than slashes are taken off its end is its directory.
    substr(bare, length(rtrim(bare, replace(bare, '/', ''))) + 1),
    map_set, lines, tokens, size_bytes, uploaded_at
FROM (SELECT *, substr(path, 1, instr(path || '?', '?') - 1) AS bare FROM source_maps)
ORDER BY id;

DROP TABLE source_maps;
ALTER TABLE source_maps_new RENAME TO source_maps;

CREATE INDEX source_maps_by_path ON source_maps (project, release, path);
CREATE INDEX source_maps_by_name ON source_maps (project, release, file_name);
CREATE INDEX source_maps_by_debug_id ON source_maps (project, debug_id, uploaded_at) WHERE debug_id IS NOT NULL;
CREATE INDEX source_maps_by_age ON source_maps (uploaded_at);
