//! The table of DSN keys.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::dsn::Seed;
use crate::domain::key_settings::KeySettings;

/// Keys of one relay, deactivated ones included; all of them are held in memory.
pub(crate) const MOST_KEYS: i64 = 10_000;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DsnKey {
    pub(crate) id: i64,
    pub(crate) public_key: String,
    pub(crate) project: String,
    pub(crate) active: bool,
    /// Unix milliseconds.
    pub(crate) created_at: i64,
    pub(crate) settings: KeySettings,
    pub(crate) used: Used,
}

/// What was done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    /// Events that were taken.
    pub(crate) taken: i64,
    /// Requests that were not.
    pub(crate) refused: i64,
    /// Unix milliseconds of the last of either.
    pub(crate) last: Option<i64>,
}

const COLUMNS: &str = "id, public_key, project, active, created_at, name, origins, allow_no_origin, rate_limit, \
                       total_limit, taken, refused, last_used";

impl DsnKey {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let origins: Option<String> = row.get(6)?;
        Ok(Self {
            id: row.get(0)?,
            public_key: row.get(1)?,
            project: row.get(2)?,
            active: row.get(3)?,
            created_at: row.get(4)?,
            settings: KeySettings {
                name: row.get(5)?,
                origins: origins.map(|lines| lines.lines().map(str::to_owned).collect()),
                allow_no_origin: row.get(7)?,
                rate_limit: row.get(8)?,
                total_limit: row.get(9)?,
            },
            used: Used {
                taken: row.get(10)?,
                refused: row.get(11)?,
                last: row.get(12)?,
            },
        })
    }
}

/// All keys by id, deactivated ones included.
pub(crate) fn list(conn: &Connection) -> Result<Vec<DsnKey>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM dsn_keys ORDER BY id"))?;
    let keys = statement
        .query_map([], DsnKey::read)?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

/// A key, deactivated ones included.
pub(crate) fn find(conn: &Connection, id: i64) -> Result<Option<DsnKey>, StoreError> {
    Ok(conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM dsn_keys WHERE id = ?1"))?
        .query_row([id], DsnKey::read)
        .optional()?)
}

/// Creates a key; `None` when there are [`MOST_KEYS`] already.
pub(crate) fn create(
    conn: &Connection,
    public_key: &str,
    project: &str,
    settings: &KeySettings,
    now_ms: i64,
) -> Result<Option<DsnKey>, StoreError> {
    let count: i64 = conn.query_row("SELECT COUNT(*) FROM dsn_keys", [], |row| row.get(0))?;
    if count >= MOST_KEYS {
        return Ok(None);
    }
    conn.prepare_cached(
        "INSERT INTO dsn_keys (public_key, project, created_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![public_key, project, now_ms])?;
    update(conn, conn.last_insert_rowid(), settings, true)
}

/// Gives a key other settings and returns it; `None` when there is no such key.
pub(crate) fn update(
    conn: &Connection,
    id: i64,
    settings: &KeySettings,
    active: bool,
) -> Result<Option<DsnKey>, StoreError> {
    let KeySettings {
        name,
        origins,
        allow_no_origin,
        rate_limit,
        total_limit,
    } = settings;
    let origins = origins.as_ref().map(|origins| origins.join("\n"));
    conn.prepare_cached(
        "UPDATE dsn_keys SET name = ?2, origins = ?3, allow_no_origin = ?4, rate_limit = ?5, total_limit = ?6, active = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        id,
        name,
        origins,
        allow_no_origin,
        rate_limit,
        total_limit,
        active
    ])?;
    find(conn, id)
}

/// Deactivates a key, again if need be, and returns it; `None` when there is no such key.
pub(crate) fn deactivate(conn: &Connection, id: i64) -> Result<Option<DsnKey>, StoreError> {
    conn.prepare_cached("UPDATE dsn_keys SET active = 0 WHERE id = ?1")?
        .execute([id])?;
    find(conn, id)
}

/// Adds to what was done with keys, by their ids.
pub(crate) fn add_used(conn: &Connection, of_keys: &[(i64, Used)]) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "UPDATE dsn_keys SET taken = taken + ?2, refused = refused + ?3,
           last_used = max(coalesce(last_used, ?4), coalesce(?4, last_used)) WHERE id = ?1",
    )?;
    for (id, used) in of_keys {
        statement.execute(params![id, used.taken, used.refused, used.last])?;
    }
    Ok(())
}

/// Creates the seeds that are not there. A key that is there keeps its project and stays deactivated if it was; no id is
/// used up for it.
pub(crate) fn seed(conn: &Connection, seeds: &[Seed], now_ms: i64) -> Result<(), StoreError> {
    let mut known = conn.prepare_cached("SELECT 1 FROM dsn_keys WHERE public_key = ?1")?;
    for seed in seeds {
        if !known.exists([&seed.public_key])?
            && create(
                conn,
                &seed.public_key,
                &seed.project,
                &KeySettings::default(),
                now_ms,
            )?
            .is_none()
        {
            return Err(StoreError::Job(format!(
                "there are {MOST_KEYS} keys already"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::database;

    fn plain(conn: &Connection, key: &str, project: &str, now_ms: i64) -> Option<DsnKey> {
        create(conn, key, project, &KeySettings::default(), now_ms).unwrap()
    }

    fn seeds(pairs: &[(&str, &str)]) -> Vec<Seed> {
        let seed = |(project, key): &(&str, &str)| Seed {
            project: (*project).to_owned(),
            public_key: (*key).to_owned(),
        };
        pairs.iter().map(seed).collect()
    }

    #[test]
    fn seeding_again_changes_nothing_and_uses_no_ids() {
        let conn = database();
        for now in 1..4 {
            seed(&conn, &seeds(&[("web", "k1"), ("shop", "k2")]), now).unwrap();
        }
        deactivate(&conn, 1).unwrap();
        seed(&conn, &seeds(&[("other", "k1")]), 9).unwrap();
        let created = plain(&conn, "k3", "x", 10).unwrap();
        assert_eq!(created.id, 3);
        let keys: Vec<_> = list(&conn)
            .unwrap()
            .into_iter()
            .map(|key| {
                (
                    key.id,
                    key.public_key,
                    key.project,
                    key.active,
                    key.created_at,
                )
            })
            .collect();
        let key = |id, key: &str, project: &str, active, at| {
            (id, key.to_owned(), project.to_owned(), active, at)
        };
        assert_eq!(
            keys,
            [
                key(1, "k1", "web", false, 1),
                key(2, "k2", "shop", true, 1),
                key(3, "k3", "x", true, 10)
            ]
        );
    }

    #[test]
    fn deactivating_twice_is_fine_and_an_unknown_key_is_none() {
        let conn = database();
        plain(&conn, "k", "p", 1).unwrap();
        for _ in 0..2 {
            let key = deactivate(&conn, 1).unwrap().unwrap();
            assert_eq!((key.public_key.as_str(), key.active), ("k", false));
        }
        for id in [0, -1, 2, i64::MAX, i64::MIN] {
            assert_eq!(deactivate(&conn, id).unwrap(), None);
        }
    }

    #[test]
    fn settings_and_use_are_kept() {
        let conn = database();
        let settings = KeySettings {
            name: "shop".to_owned(),
            origins: Some(vec![
                "https://a.example".to_owned(),
                "https://*.b.example".to_owned(),
            ]),
            allow_no_origin: true,
            rate_limit: Some(5),
            total_limit: Some(500),
        };
        let created = create(&conn, "k", "p", &settings, 1).unwrap().unwrap();
        assert_eq!(
            (created.settings, created.used),
            (settings, Used::default())
        );
        let used = |taken, refused, last| Used {
            taken,
            refused,
            last,
        };
        for (more, sum) in [
            (used(2, 1, Some(50)), used(2, 1, Some(50))),
            (used(1, 0, Some(40)), used(3, 1, Some(50))),
            (used(0, 0, None), used(3, 1, Some(50))),
        ] {
            add_used(&conn, &[(1, more), (77, more)]).unwrap();
            assert_eq!(find(&conn, 1).unwrap().unwrap().used, sum);
        }
        let plain = KeySettings::default();
        let updated = update(&conn, 1, &plain, false).unwrap().unwrap();
        assert_eq!((updated.settings, updated.active), (plain.clone(), false));
        assert_eq!(update(&conn, 2, &plain, true).unwrap(), None);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let conn = database();
        let many: Vec<_> = (0..MOST_KEYS)
            .map(|n| Seed {
                project: "p".to_owned(),
                public_key: format!("k{n}"),
            })
            .collect();
        seed(&conn, &many, 1).unwrap();
        assert_eq!(plain(&conn, "one more", "p", 1), None);
        assert!(seed(&conn, &seeds(&[("p", "one more")]), 1).is_err());
    }
}
