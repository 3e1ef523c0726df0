-- Times are Unix milliseconds.

-- Public keys of sites. A deactivated key stays, so that seeding does not bring it back.
CREATE TABLE dsn_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_key TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- One decoded map. Its rows below are written in slices before any source map names it, and deleted in slices after
-- none does any more; so a look-up sees a whole map or none, and a crash leaves only rows that upkeep removes.
CREATE TABLE map_sets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    begun_at INTEGER NOT NULL
) STRICT;

CREATE TABLE source_maps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    release TEXT NOT NULL,
    -- As it was uploaded.
    file_url TEXT NOT NULL,
    -- By which frames find it: file_url without scheme and host.
    path TEXT NOT NULL,
    map_set INTEGER NOT NULL UNIQUE REFERENCES map_sets (id),
    -- Lines of generated code that the mappings reach.
    lines INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    -- Of the map's text.
    size_bytes INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL,
    UNIQUE (project, release, file_url)
) STRICT;

CREATE INDEX source_maps_by_path ON source_maps (project, release, path);
CREATE INDEX source_maps_by_age ON source_maps (uploaded_at);

-- At most 64 tokens, keyed by the generated place of the first (domain/source_map/block.rs). Rows stay under 900 bytes,
-- beyond which a table without rowid would spill into overflow pages.
CREATE TABLE map_block (
    map_set INTEGER NOT NULL,
    line INTEGER NOT NULL,
    col INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (map_set, line, col)
) STRICT, WITHOUT ROWID;

CREATE TABLE map_source (
    map_set INTEGER NOT NULL,
    source INTEGER NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (map_set, source)
) STRICT, WITHOUT ROWID;

-- 256 names (domain/source_map/names.rs).
CREATE TABLE map_names (
    map_set INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    list BLOB NOT NULL,
    PRIMARY KEY (map_set, chunk)
) STRICT;

-- Lines of original text, from `line` on.
CREATE TABLE map_content (
    map_set INTEGER NOT NULL,
    source INTEGER NOT NULL,
    line INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (map_set, source, line)
) STRICT;

-- Where functions of the original text begin and end (domain/source_map/content.rs).
CREATE TABLE map_function (
    map_set INTEGER NOT NULL,
    source INTEGER NOT NULL,
    line INTEGER NOT NULL,
    col INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (map_set, source, line, col)
) STRICT, WITHOUT ROWID;
