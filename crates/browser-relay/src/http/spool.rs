//! Keeps a large body on disk instead of in memory while it is read: the whole of it, or the map of a form.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use monlight_shared::http::ApiError;

use super::form::Form;
use crate::domain::multipart;
use crate::domain::upload::{Names, Utf8};

/// Bytes that are collected before they go to the disk.
const PIECE: usize = 64 * 1024;

/// A body on disk, inflated, known to be UTF-8. It has no name any more and is gone when this is dropped, also when the
/// process is killed.
pub(super) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// Takes a body in. `directory` is where the database is.
    pub(super) async fn receive(
        headers: &HeaderMap,
        body: Body,
        directory: PathBuf,
        limits: Limits,
    ) -> Result<Received, ApiError> {
        let encoding = encoding(headers)?;
        let boundary = boundary(headers)?;
        let limit = limits.body;
        let mut writer = blocking(move || {
            Writer::create(&directory, encoding, boundary, limits).map_err(ApiError::internal)
        })
        .await?;
        let mut stream = body.into_data_stream();
        let mut pieces: Vec<Bytes> = Vec::new();
        let (mut waiting, mut received) = (0, 0_u64);
        loop {
            let piece = stream.next().await.transpose();
            let piece = piece.map_err(|_| ApiError::invalid("Failed to read request body"))?;
            if let Some(piece) = &piece {
                received += piece.len() as u64;
                if received > limit {
                    return Err(ApiError::TooLarge);
                }
                waiting += piece.len();
            }
            let ended = piece.is_none();
            pieces.extend(piece);
            if waiting >= PIECE || (ended && waiting > 0) {
                let taken = std::mem::take(&mut pieces);
                waiting = 0;
                writer = blocking(move || writer.take(&taken)).await?;
            }
            if ended {
                return blocking(move || writer.finish()).await;
            }
        }
    }

    /// Bytes, inflated.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// A reader that begins at an offset. For a thread of one's own.
    pub(super) fn read_from(&mut self, offset: u64) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(&mut self.file)
    }
}

/// A body that was taken in.
pub(super) enum Received {
    Json(Spool),
    /// The map of a form, and the fields beside it.
    Form(Spool, Names),
}

/// Bytes of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// As sent and as inflated.
    pub(super) body: u64,
    /// Of the map in a form, inflated.
    pub(super) map: u64,
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        other => Err(ApiError::UnsupportedMedia(format!(
            "Content-Encoding {other:?} is not supported; expected gzip, deflate or none"
        ))),
    }
}

/// The boundary of a form; `None`: it is JSON, whatever its type.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type
        .and_then(multipart::boundary)
        .transpose()
        .map_err(|fault| ApiError::Invalid(fault.to_string()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ApiError::internal)?
}

/// Writes the pieces of a body.
enum Writer {
    Identity(Content),
    Gzip(Box<MultiGzDecoder<Content>>),
    Deflate(Box<ZlibDecoder<Content>>),
}

/// What a body is, once inflated.
enum Content {
    Json(Target),
    Form(Box<Form>),
}

/// The file, and what is checked on the way to it.
pub(super) struct Target {
    file: File,
    length: u64,
    limit: u64,
    utf8: Utf8,
    valid: bool,
}

impl Writer {
    fn create(
        directory: &Path,
        encoding: Encoding,
        boundary: Option<String>,
        limits: Limits,
    ) -> io::Result<Self> {
        let file = unnamed_file(directory)?;
        let content = match boundary {
            None => Content::Json(Target::new(file, limits.body)),
            Some(boundary) => {
                let target = Target::new(file, limits.map);
                Content::Form(Box::new(Form::new(&boundary, target, limits.body)))
            }
        };
        Ok(match encoding {
            Encoding::Identity => Self::Identity(content),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(content))),
            Encoding::Deflate => Self::Deflate(Box::new(ZlibDecoder::new(content))),
        })
    }

    fn take(mut self, pieces: &[Bytes]) -> Result<Self, ApiError> {
        for piece in pieces {
            match &mut self {
                Self::Identity(content) => content.write_all(piece),
                Self::Gzip(inflater) => inflater.write_all(piece),
                Self::Deflate(inflater) => inflater.write_all(piece),
            }
            .map_err(write_fault)?;
        }
        Ok(self)
    }

    fn finish(self) -> Result<Received, ApiError> {
        let content = match self {
            Self::Identity(content) => content,
            Self::Gzip(inflater) => inflater.finish().map_err(write_fault)?,
            Self::Deflate(inflater) => inflater.finish().map_err(write_fault)?,
        };
        match content {
            Content::Json(target) => Ok(Received::Json(target.finish("Invalid JSON")?)),
            Content::Form(form) => {
                let (target, names) = form.finish()?;
                let spool = target.finish("Invalid source map format")?;
                Ok(Received::Form(spool, names))
            }
        }
    }
}

impl Write for Content {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self {
            Self::Json(target) => target.write(piece),
            Self::Form(form) => form.write(piece),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target {
    fn new(file: File, limit: u64) -> Self {
        Self {
            file,
            length: 0,
            limit,
            utf8: Utf8::default(),
            valid: true,
        }
    }

    /// `no_text` is what is said when it is no UTF-8.
    fn finish(self, no_text: &'static str) -> Result<Spool, ApiError> {
        if !self.valid || !self.utf8.finish() {
            return Err(ApiError::invalid(no_text));
        }
        Ok(Spool {
            file: self.file,
            length: self.length,
        })
    }
}

impl Write for Target {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.valid = self.valid && self.utf8.push(piece);
        self.file.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A refusal on its way through [`Write`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) String);

fn write_fault(fault: io::Error) -> ApiError {
    let fault = match fault.downcast::<Refusal>() {
        Ok(Refusal(detail)) => return ApiError::Invalid(detail),
        Err(fault) => fault,
    };
    match fault.kind() {
        io::ErrorKind::FileTooLarge => ApiError::TooLarge,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            ApiError::invalid("Request body is not what its Content-Encoding says")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ApiError::Unavailable {
            detail: "There is no room on the disk for the upload".to_owned(),
            retry_after: 60,
        },
        _ => ApiError::internal(fault),
    }
}

/// A file that is removed at once: only its handle is left.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    let name = format!(
        ".upload-{:016x}.tmp",
        getrandom::u64().map_err(io::Error::other)?
    );
    let path = directory.join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spool(
        encoding: Option<&'static str>,
        pieces: &[&[u8]],
        limit: u64,
    ) -> Result<String, ApiError> {
        let directory = tempfile::tempdir().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        let pieces: Vec<Result<Bytes, io::Error>> = pieces
            .iter()
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let limits = Limits {
            body: limit,
            map: limit,
        };
        let received = Spool::receive(&headers, body, directory.path().to_owned(), limits).await?;
        let (Received::Json(mut spool) | Received::Form(mut spool, _)) = received;
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            0,
            "the file has no name"
        );
        let mut text = String::new();
        spool
            .read_from(0)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(spool.length(), text.len() as u64);
        Ok(text)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn bodies_come_back_whole() {
        assert_eq!(spool(None, &[], 10).await.unwrap(), "");
        assert_eq!(
            spool(None, &[b"a\xc3", b"\xa9b"], 10).await.unwrap(),
            "a\u{e9}b"
        );
        let long = vec![b'x'; 300_000];
        assert_eq!(
            spool(None, &[&long, &long], 600_000).await.unwrap().len(),
            600_000
        );
        let packed = gzip(&long);
        let (first, second) = packed.split_at(40);
        assert_eq!(
            spool(Some("gzip"), &[first, second], 300_000)
                .await
                .unwrap()
                .len(),
            300_000
        );
    }

    #[track_caller]
    fn check_fault(result: Result<String, ApiError>, status: u16) {
        assert_eq!(result.unwrap_err().status().as_u16(), status);
    }

    #[tokio::test]
    async fn faults_are_told_apart() {
        check_fault(spool(None, &[b"123456", b"78901"], 10).await, 413);
        check_fault(
            spool(Some("gzip"), &[&gzip(&vec![b'x'; 100_000])], 99_999).await,
            413,
        );
        check_fault(spool(Some("gzip"), &[b"no gzip at all"], 100).await, 400);
        let packed = gzip(b"text");
        check_fault(
            spool(Some("gzip"), &[&packed[..packed.len() - 4]], 100).await,
            400,
        );
        check_fault(spool(Some("br"), &[b"x"], 100).await, 415);
        check_fault(spool(None, &[b"a\xff"], 10).await, 400);
        check_fault(spool(None, &[b"a\xc3"], 10).await, 400);
    }
}
