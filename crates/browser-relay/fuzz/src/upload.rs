//! Uploads of source maps: the JSON around a map, and forms.

use serde_json::Value;

use crate::domain::multipart::{Event, Fault, Parser};
use crate::domain::upload::{self, Form, UploadFault};

const MOST_MAP_BYTES: u64 = 1000;
const BOUNDARY: &str = "b";

/// The first byte says whether the rest is JSON or a form, and in how large pieces a form comes.
pub fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    match mode % 8 {
        0 => {
            // The service has checked that the body is UTF-8 before it reads it.
            if let Ok(text) = std::str::from_utf8(rest) {
                check_json(text);
            }
        }
        size => check_form(rest, usize::from(size)),
    }
}

fn check_json(text: &str) {
    let document: Option<Value> = serde_json::from_str(text).ok();
    let upload = match upload::read(text.as_bytes(), MOST_MAP_BYTES) {
        Ok(upload) => upload,
        Err(UploadFault::Invalid(_) | UploadFault::TooLarge) => return,
        Err(UploadFault::Read(fault)) => panic!("a text in memory cannot be read: {fault}"),
    };
    assert!(upload.map_bytes <= MOST_MAP_BYTES);
    assert!((1..=100).contains(&upload.names.project.len()));
    let from = text
        .get(upload.form.offset() as usize..)
        .expect("an offset inside of the body");
    assert!(matches!(upload.form, Form::Quoted(_)) && from.starts_with('"'));
    let mut map = String::new();
    upload::map_text(from.as_bytes(), upload.form, |text| {
        text.read_to_string(&mut map)
    })
    .expect("a string")
    .expect("UTF-8");
    assert_eq!(map.len() as u64, upload.map_bytes);
    if let Some(document) = document {
        assert_eq!(document["map_content"], map);
        assert_eq!(document["project"], upload.names.project);
        assert_eq!(
            document["release"].as_str(),
            upload.names.release.as_deref()
        );
        assert_eq!(
            document["file_url"].as_str(),
            upload.names.file_url.as_deref()
        );
    }
}

/// A part of a form: its name and its content.
type Part = (Option<String>, Vec<u8>);

/// The parts, whether the last boundary came, and what was wrong.
type Parts = (Vec<Part>, bool, Option<Fault>);

fn check_form(body: &[u8], size: usize) {
    let whole = parts(&[body]);
    let pieces: Vec<&[u8]> = body.chunks(size).collect();
    let pieced = parts(&pieces);
    assert_eq!(
        pieced.2, whole.2,
        "the pieces of the input make a difference"
    );
    if whole.2.is_some() {
        return;
    }
    assert_eq!(pieced, whole, "the pieces of the input make a difference");
    let boundary = format!("\r\n--{BOUNDARY}").into_bytes();
    for (_, content) in &whole.0 {
        let mut windows = content.windows(boundary.len());
        assert!(
            windows.all(|window| window != boundary),
            "a part goes on behind a boundary"
        );
    }
}

fn parts(pieces: &[&[u8]]) -> Parts {
    let mut parser = Parser::new(BOUNDARY);
    let mut parts: Vec<Part> = Vec::new();
    let mut open = false;
    let mut report = |event: Event<'_>| -> Result<(), Fault> {
        match event {
            Event::Part(name) => {
                assert!(
                    !std::mem::replace(&mut open, true),
                    "a part inside of a part"
                );
                parts.push((name, Vec::new()));
            }
            Event::Data(data) => {
                assert!(open, "content of no part");
                parts.last_mut().expect("a part").1.extend_from_slice(data);
            }
            Event::End => assert!(std::mem::replace(&mut open, false), "the end of no part"),
        }
        Ok(())
    };
    let fault = pieces
        .iter()
        .find_map(|piece| parser.push(piece, &mut report).err());
    (parts, parser.is_finished(), fault)
}
