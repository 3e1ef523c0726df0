//! The table of DSN keys.

use monlight_shared::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::dsn::Seed;

/// Keys of one relay, deactivated ones included; the active ones are held in memory.
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
}

impl DsnKey {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            public_key: row.get(1)?,
            project: row.get(2)?,
            active: row.get(3)?,
            created_at: row.get(4)?,
        })
    }
}

/// All keys by id, deactivated ones included.
pub(crate) fn list(conn: &Connection) -> Result<Vec<DsnKey>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, public_key, project, active, created_at FROM dsn_keys ORDER BY id",
    )?;
    let keys = statement
        .query_map([], DsnKey::read)?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

/// Creates a key; `None` when there are [`MOST_KEYS`] already.
pub(crate) fn create(
    conn: &Connection,
    public_key: &str,
    project: &str,
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
    Ok(Some(DsnKey {
        id: conn.last_insert_rowid(),
        public_key: public_key.to_owned(),
        project: project.to_owned(),
        active: true,
        created_at: now_ms,
    }))
}

/// Deactivates a key, again if need be, and returns its text; `None` when there is no such key.
pub(crate) fn deactivate(conn: &Connection, id: i64) -> Result<Option<String>, StoreError> {
    let key = conn
        .prepare_cached("UPDATE dsn_keys SET active = 0 WHERE id = ?1 RETURNING public_key")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(key)
}

/// Creates the seeds that are not there. A key that is there keeps its project and stays deactivated if it was; no id is
/// used up for it.
pub(crate) fn seed(conn: &Connection, seeds: &[Seed], now_ms: i64) -> Result<(), StoreError> {
    let mut known = conn.prepare_cached("SELECT 1 FROM dsn_keys WHERE public_key = ?1")?;
    for seed in seeds {
        if !known.exists([&seed.public_key])?
            && create(conn, &seed.public_key, &seed.project, now_ms)?.is_none()
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
        let created = create(&conn, "k3", "x", 10).unwrap().unwrap();
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
        create(&conn, "k", "p", 1).unwrap();
        assert_eq!(deactivate(&conn, 1).unwrap().as_deref(), Some("k"));
        assert_eq!(deactivate(&conn, 1).unwrap().as_deref(), Some("k"));
        for id in [0, -1, 2, i64::MAX, i64::MIN] {
            assert_eq!(deactivate(&conn, id).unwrap(), None);
        }
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
        assert_eq!(create(&conn, "one more", "p", 1).unwrap(), None);
        assert!(seed(&conn, &seeds(&[("p", "one more")]), 1).is_err());
    }
}
