//! Reading a rotated file that was compressed: its inflated stream, block by block.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::bufread::MultiGzDecoder;

/// Compressed bytes that are held at a time.
const INPUT_BYTES: usize = 8 * 1024;
/// A file that inflates to more than this is a bomb; the rest of it is left alone.
const MOST_INFLATED: u64 = 64 * 1024 * 1024 * 1024;

/// What a read of the inflated stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflated {
    /// So many bytes of it.
    Bytes(usize),
    /// Its end: the file is complete.
    End,
    /// The file ends within the stream: somebody is still writing it, or it was cut.
    Cut,
}

/// An open compressed file. Costs about 50 KB while it is read.
#[derive(Debug)]
pub(super) struct Inflater {
    decoder: Box<MultiGzDecoder<BufReader<FromStart>>>,
    /// How much of the inflated stream was read.
    position: u64,
}

/// A file read from its start on, whatever other handles on it do.
#[derive(Debug)]
struct FromStart {
    file: File,
    position: u64,
}

impl Read for FromStart {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(block, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Inflater {
    /// Starts at the beginning of the file.
    pub(super) fn new(file: File) -> Self {
        let input = BufReader::with_capacity(INPUT_BYTES, FromStart { file, position: 0 });
        Self {
            decoder: Box::new(MultiGzDecoder::new(input)),
            position: 0,
        }
    }

    /// How much of the inflated stream was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Starts again.
    pub(super) fn rewind(self) -> Self {
        Self::new(self.decoder.into_inner().into_inner().file)
    }

    /// The file's size on the disk.
    pub(super) fn compressed_size(&self) -> io::Result<u64> {
        Ok(self.decoder.get_ref().get_ref().file.metadata()?.size())
    }

    /// The next bytes of the stream.
    ///
    /// # Errors
    /// The file is no gzip file, or damaged; whatever was read before is good.
    pub(super) fn read(&mut self, block: &mut [u8]) -> io::Result<Inflated> {
        if self.position > MOST_INFLATED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it inflates to more than 64 GiB",
            ));
        }
        loop {
            match self.decoder.read(block) {
                Ok(0) if self.compressed_size()? == 0 => return Ok(Inflated::Cut),
                Ok(0) => return Ok(Inflated::End),
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(Inflated::Bytes(count));
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Inflated::Cut);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Fills the block as far as the stream goes, be it to its end or to where it is damaged.
    pub(super) fn read_head(file: &File, block: &mut [u8]) -> io::Result<usize> {
        let mut inflater = Self::new(file.try_clone()?);
        let mut filled = 0;
        while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
            match inflater.read(room) {
                Ok(Inflated::Bytes(count)) => filled += count,
                _ => break,
            }
        }
        Ok(filled)
    }
}

/// Whether a complete gzip file inflates to `size` bytes, as far as its trailer says (RFC 1952, ISIZE: the size modulo
/// 2^32). Spares inflating a file only to find that all of it was read before it was compressed.
pub(super) fn inflates_to(file: &File, size: u64) -> io::Result<bool> {
    let compressed = file.metadata()?.size();
    let Some(at) = compressed.checked_sub(4) else {
        return Ok(false);
    };
    let mut trailer = [0; 4];
    file.read_exact_at(&mut trailer, at)?;
    Ok(u64::from(u32::from_le_bytes(trailer)) == size & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn open(dir: &Path, content: &[u8]) -> File {
        let path = dir.join("x.gz");
        std::fs::write(&path, content).expect("written");
        File::open(path).expect("opens")
    }

    /// The inflated bytes, and how the stream ended.
    fn read_all(file: File) -> (Vec<u8>, io::Result<Inflated>) {
        let mut inflater = Inflater::new(file);
        let (mut all, mut block) = (Vec::new(), vec![0; 1000]);
        loop {
            match inflater.read(&mut block) {
                Ok(Inflated::Bytes(count)) => all.extend_from_slice(&block[..count]),
                end => {
                    assert_eq!(inflater.position(), all.len() as u64);
                    return (all, end);
                }
            }
        }
    }

    #[test]
    fn a_whole_file_several_members_and_one_that_was_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let content: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        let whole = gzip(&content);
        let (all, end) = read_all(open(dir.path(), &whole));
        assert!(all == content && matches!(end, Ok(Inflated::End)));

        let two = [whole.clone(), gzip(b"more")].concat();
        let (all, end) = read_all(open(dir.path(), &two));
        assert!(all.ends_with(b"more") && matches!(end, Ok(Inflated::End)));
        assert_eq!(all.len(), content.len() + 4);

        for cut in [0, 1, 9, 15, 1000, whole.len() - 9, whole.len() - 1] {
            let (all, end) = read_all(open(dir.path(), &whole[..cut]));
            assert!(
                content.starts_with(&all) && matches!(end, Ok(Inflated::Cut)),
                "{cut}"
            );
        }
    }

    #[test]
    fn what_is_no_gzip_file_or_damaged_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let (all, end) = read_all(open(dir.path(), b"{\"log\":\"plain text\\n\"}\n"));
        assert!(all.is_empty() && end.is_err());
        // The sum of the content no longer fits.
        let mut damaged = gzip(&vec![b'x'; 100_000]);
        let sum = damaged.len() - 8;
        damaged[sum] ^= 0xff;
        let (_, end) = read_all(open(dir.path(), &damaged));
        assert!(end.is_err());
    }

    #[test]
    fn the_trailer_tells_the_size() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = open(dir.path(), &gzip(&[b'x'; 4321]));
        assert!(inflates_to(&file, 4321).expect("readable"));
        assert!(!inflates_to(&file, 4320).expect("readable"));
        let file = open(dir.path(), b"");
        assert!(!inflates_to(&file, 0).expect("readable"));
    }

    #[test]
    fn the_head_of_a_file_and_reading_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = open(dir.path(), &gzip(b"0123456789"));
        let mut head = [0; 4];
        assert_eq!(Inflater::read_head(&file, &mut head).expect("readable"), 4);
        assert_eq!(&head, b"0123");
        let mut inflater = Inflater::new(file);
        assert_eq!(
            inflater.read(&mut head).expect("readable"),
            Inflated::Bytes(4)
        );
        let mut inflater = inflater.rewind();
        assert_eq!(
            inflater.read(&mut head).expect("readable"),
            Inflated::Bytes(4)
        );
        assert_eq!(&head, b"0123");
    }
}
