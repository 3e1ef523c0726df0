//! Which file on the disk is which that we have read from.
//!
//! A name says nothing (Docker renames `x-json.log` to `x-json.log.1`), and an inode says little (ext4 gives a new file
//! the number of the one just deleted). So a file is known by device, inode and its first bytes: those never change in a
//! file that is only appended to. Of a compressed file the inflated bytes count, so it is known as what it was before.

/// How many of the first bytes are remembered. The first record of a Docker file, with its time in nanoseconds, mostly
/// fits.
pub const HEAD_BYTES: usize = 1024;

/// A shorter beginning does not prove that two different inodes hold the same file.
const PROOF_BYTES: usize = 64;

/// Device and inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// How far a file has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Where it was last seen.
    pub file: FileId,
    /// Its first bytes, at most [`HEAD_BYTES`] and never more than were read.
    pub head: Vec<u8>,
    /// The offset of the first byte that was not consumed; always the start of a line. In a compressed file it counts
    /// inflated bytes.
    pub position: u64,
    /// For a compressed file that was read to its end: its size on the disk. While it keeps that size there is nothing to
    /// read in it.
    pub read_whole: Option<u64>,
}

/// A file as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub file: FileId,
    /// Its length in bytes; `u64::MAX` when it is compressed, because nobody knows before all of it was inflated.
    pub size: u64,
    /// Its first bytes, [`HEAD_BYTES`] of them when it is that long.
    pub head: Vec<u8>,
    /// Identity, length and time of change are those of the last look in this run.
    pub is_unchanged: bool,
}

/// Where to go on in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the file of this known cursor: go on at this offset.
    Known {
        /// Index of the cursor.
        cursor: usize,
        /// Where to go on: the cursor's position, or the end of the file when it was cut to less than that.
        position: u64,
    },
    /// It begins like a file that is still there: a rotation that copies and truncates, or compresses, is under way. Leave
    /// it alone; once the other one is truncated or gone, this one takes its cursor over.
    Copy,
    /// It is new, or its content was replaced: read it from its beginning.
    Fresh,
}

/// Finds for each file, given oldest first, the cursor that belongs to it.
///
/// What proves most comes first: identity and a long beginning; then the beginning alone, for copies (a rotation that
/// copies and truncates, a restored volume, a device that changed its number); last the identity of a file of which
/// little or nothing was read, because the inode may have been given to another file since. Cursors of which no file is
/// left are not mentioned.
pub fn assign(known: &[Cursor], files: &[Seen]) -> Vec<Place> {
    let mut places = vec![Place::Fresh; files.len()];
    let mut used = vec![false; known.len()];
    let mut pass = |places: &mut [Place], test: fn(&Cursor, &Seen) -> bool| {
        for (file, place) in files.iter().zip(places) {
            if *place != Place::Fresh {
                continue;
            }
            let found = known
                .iter()
                .zip(&mut used)
                .enumerate()
                .find(|(_, (cursor, used))| !**used && test(cursor, file));
            if let Some((index, (cursor, used))) = found {
                *used = true;
                *place = Place::Known {
                    cursor: index,
                    position: cursor.position.min(file.size),
                };
            }
        }
    };
    pass(&mut places, |cursor, file| {
        is_same_file(cursor, file) && (is_proof(cursor) || file.is_unchanged)
    });
    // Of two copies the plain one: the other may be half-written.
    pass(&mut places, |cursor, file| {
        is_copy(cursor, file) && file.size != u64::MAX
    });
    pass(&mut places, is_copy);
    for (file, place) in files.iter().zip(&mut places) {
        if *place == Place::Fresh && known.iter().any(|cursor| is_copy(cursor, file)) {
            *place = Place::Copy;
        }
    }
    // Also when no cursor says so: a younger file that begins in the same way is the original.
    for (index, file) in files.iter().enumerate() {
        let has_original = files
            .iter()
            .skip(index + 1)
            .any(|younger| begin_alike(&file.head, &younger.head));
        if let Some(place) = places.get_mut(index)
            && *place == Place::Fresh
            && has_original
        {
            *place = Place::Copy;
        }
    }
    // A short beginning that ends within a line is the rest of one that was given up: another file may well begin so.
    pass(&mut places, |cursor, file| {
        let ends_a_line = cursor.head.is_empty() || cursor.head.ends_with(b"\n");
        is_same_file(cursor, file) && ends_a_line
    });
    places
}

/// Whether two beginnings agree as far as both go, and that far that it cannot be chance: a whole record with its time in
/// nanoseconds.
pub fn begin_alike(one: &[u8], other: &[u8]) -> bool {
    let shorter = one.len().min(other.len());
    let (one, other) = (one.get(..shorter), other.get(..shorter));
    let proves = |head: &[u8]| head.len() >= HEAD_BYTES || head.contains(&b'\n');
    one == other && one.is_some_and(proves)
}

fn is_same_file(cursor: &Cursor, file: &Seen) -> bool {
    cursor.file == file.file && file.head.starts_with(&cursor.head)
}

fn is_copy(cursor: &Cursor, file: &Seen) -> bool {
    cursor.file != file.file && is_proof(cursor) && file.head.starts_with(&cursor.head)
}

fn is_proof(cursor: &Cursor) -> bool {
    cursor.head.len() >= PROOF_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    fn text(name: &str) -> Vec<u8> {
        format!(
            "{{\"log\":\"first line of {name}\\n\",\"time\":\"2025-01-20T10:00:01.123456789Z\"}}\n"
        )
        .into_bytes()
    }

    fn cursor(inode: u64, name: &str, position: u64) -> Cursor {
        let mut head = text(name);
        head.truncate(position as usize);
        Cursor {
            file: id(inode),
            head,
            position,
            read_whole: None,
        }
    }

    fn seen(inode: u64, name: &str, size: u64) -> Seen {
        let mut head = text(name);
        head.truncate(size as usize);
        Seen {
            file: id(inode),
            size,
            head,
            is_unchanged: false,
        }
    }

    fn known(cursor: usize, position: u64) -> Place {
        Place::Known { cursor, position }
    }

    #[track_caller]
    fn check(cursors: &[Cursor], files: &[Seen], expected: &[Place]) {
        assert_eq!(assign(cursors, files), expected);
    }

    #[test]
    fn a_file_that_grew_or_stayed_goes_on() {
        check(&[cursor(5, "a", 90)], &[seen(5, "a", 90)], &[known(0, 90)]);
        check(&[cursor(5, "a", 90)], &[seen(5, "a", 500)], &[known(0, 90)]);
        check(&[cursor(5, "a", 0)], &[seen(5, "a", 500)], &[known(0, 0)]);
    }

    #[test]
    fn a_renamed_file_goes_on_and_the_new_one_is_fresh() {
        check(
            &[cursor(5, "a", 90)],
            &[seen(5, "a", 200), seen(6, "b", 50)],
            &[known(0, 90), Place::Fresh],
        );
    }

    #[test]
    fn an_inode_with_other_content_is_fresh() {
        check(&[cursor(5, "a", 90)], &[seen(5, "b", 90)], &[Place::Fresh]);
        check(&[cursor(5, "a", 90)], &[seen(5, "a", 0)], &[Place::Fresh]);
        check(&[cursor(5, "a", 20)], &[seen(5, "a", 10)], &[Place::Fresh]);
    }

    #[test]
    fn a_file_cut_behind_its_beginning_goes_on_at_its_end() {
        check(
            &[cursor(5, "a", 5000)],
            &[seen(5, "a", 300)],
            &[known(0, 300)],
        );
    }

    #[test]
    fn a_copy_takes_the_cursor_over_and_the_truncated_file_is_fresh() {
        check(
            &[cursor(5, "a", 90)],
            &[seen(9, "a", 200), seen(5, "b", 40)],
            &[known(0, 90), Place::Fresh],
        );
    }

    /// The inode of an empty file that was deleted went to the copy, which was then read a second time.
    #[test]
    fn a_copy_is_known_by_its_content_also_when_its_inode_was_used_before() {
        check(
            &[cursor(7, "empty", 0), cursor(5, "a", 90)],
            &[seen(7, "a", 200), seen(5, "b", 0)],
            &[known(1, 90), Place::Fresh],
        );
        check(
            &[cursor(7, "empty", 0), cursor(5, "a", 90)],
            &[seen(7, "a", 90), seen(5, "a", 90)],
            &[Place::Copy, known(1, 90)],
        );
    }

    /// A file that began with the one byte which was left of a cut line was read from its second byte on.
    #[test]
    fn the_rest_of_a_cut_line_proves_nothing() {
        let cut = Cursor {
            file: id(5),
            head: b"{".to_vec(),
            position: 1,
            read_whole: None,
        };
        check(
            std::slice::from_ref(&cut),
            &[seen(5, "b", 90)],
            &[Place::Fresh],
        );
        let mut same = seen(5, "b", 1);
        same.is_unchanged = true;
        check(&[cut], &[same], &[known(0, 1)]);
        let line = Cursor {
            file: id(5),
            head: b"{}\n".to_vec(),
            position: 3,
            read_whole: None,
        };
        let grown = Seen {
            file: id(5),
            size: 6,
            head: b"{}\n{}\n".to_vec(),
            is_unchanged: false,
        };
        check(&[line], &[grown], &[known(0, 3)]);
    }

    #[test]
    fn a_short_beginning_does_not_prove_a_copy() {
        check(&[cursor(5, "a", 10)], &[seen(9, "a", 200)], &[Place::Fresh]);
        check(&[cursor(5, "a", 0)], &[seen(9, "a", 200)], &[Place::Fresh]);
    }

    /// A file that was compressed while nobody looked, and one that is being compressed.
    #[test]
    fn a_compressed_file_goes_on_where_the_plain_one_was_left() {
        let gz = |size| Seen {
            size: u64::MAX,
            ..seen(9, "a", size)
        };
        check(
            &[cursor(5, "a", 5000)],
            &[gz(200), seen(6, "b", 50)],
            &[known(0, 5000), Place::Fresh],
        );
        check(
            &[cursor(5, "a", 90)],
            &[gz(70), seen(5, "a", 200)],
            &[Place::Copy, known(0, 90)],
        );
        // Copied, truncated and being compressed, all unseen.
        check(
            &[cursor(5, "a", 90)],
            &[gz(90), seen(7, "a", 200), seen(5, "b", 0)],
            &[Place::Copy, known(0, 90), Place::Fresh],
        );
        // Its inode was that of the file before.
        check(
            &[cursor(5, "a", 90), cursor(9, "b", 90)],
            &[gz(200), seen(6, "b", 90)],
            &[known(0, 90), known(1, 90)],
        );
    }

    #[test]
    fn a_copy_is_known_as_one_also_when_nothing_was_read_yet() {
        let gz = |name, size| Seen {
            size: u64::MAX,
            ..seen(9, name, size)
        };
        check(
            &[],
            &[gz("a", 90), seen(5, "a", 200), seen(6, "b", 90)],
            &[Place::Copy, Place::Fresh, Place::Fresh],
        );
        // It was seen when nothing was in it.
        let empty = Cursor {
            file: id(9),
            ..Cursor::default()
        };
        check(
            &[cursor(5, "a", 90), empty],
            &[gz("a", 80), seen(5, "a", 90)],
            &[Place::Copy, known(0, 90)],
        );
        // Too little to tell, and different.
        check(&[], &[gz("a", 20), seen(5, "a", 20)], &[Place::Fresh; 2]);
        check(&[], &[gz("a", 0), seen(5, "a", 0)], &[Place::Fresh; 2]);
        check(&[], &[gz("a", 90), seen(5, "b", 90)], &[Place::Fresh; 2]);
    }

    #[test]
    fn a_copy_is_left_alone_while_the_original_is_there() {
        check(
            &[cursor(5, "a", 90)],
            &[seen(9, "a", 90), seen(5, "a", 200)],
            &[Place::Copy, known(0, 90)],
        );
    }
}
