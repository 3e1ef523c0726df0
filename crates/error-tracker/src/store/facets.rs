//! Which facets a group has: a list in its row, which tells in no time that nothing is new, and rows by facet, which
//! lists are made from.

use monlight_shared::store::StoreError;
use rusqlite::Connection;

use crate::domain::facet::{FACETS_OF_A_GROUP, Facet};

const ID_BYTES: usize = 8;

/// The facets of a group after a report that brought new ones.
#[derive(Debug)]
pub(super) struct GroupFacets {
    /// As stored in the group's row, the newest last.
    list: Vec<u8>,
    added: Vec<Facet>,
    removed: Vec<[u8; ID_BYTES]>,
}

/// What a group's `list` becomes with the facets of a report; `None` when it has them all.
pub(super) fn changed(list: &[u8], facets: &[Facet]) -> Option<GroupFacets> {
    let known = |facet: &&Facet| !list.chunks_exact(ID_BYTES).any(|id| id == facet.id.bytes());
    let mut added: Vec<Facet> = Vec::new();
    for facet in facets.iter().filter(known) {
        if !added.iter().any(|other| other.id == facet.id) {
            added.push(facet.clone());
        }
    }
    if added.is_empty() {
        return None;
    }
    let mut list = list.to_vec();
    list.extend(added.iter().flat_map(|facet| facet.id.bytes()));
    let too_many = list.len().saturating_sub(FACETS_OF_A_GROUP * ID_BYTES);
    let removed = list.drain(..too_many).collect::<Vec<u8>>();
    Some(GroupFacets {
        list,
        added,
        removed: ids(&removed).collect(),
    })
}

/// The ids in a group's list.
pub(super) fn ids(list: &[u8]) -> impl Iterator<Item = [u8; ID_BYTES]> {
    let (ids, _) = list.as_chunks::<ID_BYTES>();
    ids.iter().copied()
}

impl GroupFacets {
    /// Writes them for a group of a project.
    pub(super) fn write(
        &self,
        conn: &Connection,
        project: i64,
        group: i64,
        time_ms: i64,
    ) -> Result<(), StoreError> {
        for facet in &self.added {
            let new = conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO group_facets (facet, group_id) VALUES (?1, ?2)",
                )?
                .execute((facet.id.get(), group))?;
            conn.prepare_cached(
                "INSERT INTO facets (id, project, kind, value, groups, first_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id, project) DO UPDATE SET groups = groups + excluded.groups",
            )?
            .execute((
                facet.id.get(),
                project,
                facet.kind as i64,
                &facet.value,
                new as i64,
                time_ms,
            ))?;
        }
        for id in &self.removed {
            remove(conn, project, group, *id)?;
        }
        conn.prepare_cached("UPDATE error_groups SET facets = ?1 WHERE id = ?2")?
            .execute((&self.list, group))?;
        Ok(())
    }
}

/// Takes one facet from a group; its list is the caller's.
pub(super) fn remove(
    conn: &Connection,
    project: i64,
    group: i64,
    id: [u8; ID_BYTES],
) -> Result<(), StoreError> {
    let id = i64::from_be_bytes(id);
    let removed = conn
        .prepare_cached("DELETE FROM group_facets WHERE facet = ?1 AND group_id = ?2")?
        .execute((id, group))?;
    if removed > 0 {
        conn.prepare_cached(
            "UPDATE facets SET groups = groups - 1 WHERE id = ?1 AND project = ?2",
        )?
        .execute((id, project))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facet::FacetKind;

    fn facet(value: usize) -> Facet {
        Facet::new(FacetKind::Release, &value.to_string()).expect("a short value")
    }

    #[test]
    fn known_facets_change_nothing() {
        assert!(changed(&[], &[]).is_none());
        let first = changed(&[], &[facet(1), facet(2), facet(1)]).expect("two new ones");
        assert_eq!((first.list.len(), first.added.len()), (16, 2));
        assert!(changed(&first.list, &[facet(2), facet(1)]).is_none());
    }

    #[test]
    fn the_oldest_make_room() {
        let all: Vec<Facet> = (0..FACETS_OF_A_GROUP + 3).map(facet).collect();
        let kept = changed(&[], &all).expect("new ones");
        assert_eq!(kept.list.len(), FACETS_OF_A_GROUP * ID_BYTES);
        let oldest: Vec<_> = all.iter().take(3).map(|facet| facet.id.bytes()).collect();
        assert_eq!(kept.removed, oldest);
        assert_eq!(ids(&kept.list).next(), Some(facet(3).id.bytes()));
    }
}
