//! What the browser relay says about the frames of a stack, in `extra.symbolication`.

use serde::Deserialize;

/// Files that are looked at.
const MOST_FILES: usize = 50;

#[derive(Deserialize)]
struct Extra {
    symbolication: Option<Symbolication>,
}

#[derive(Deserialize)]
struct Symbolication {
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    file: Option<String>,
    in_app: Option<bool>,
}

/// The files in `extra` (compact JSON) that are not of the app because the source map says so: those of frames with
/// `"in_app": false`. None when it is of any other shape.
pub fn library_files(extra: &str) -> Vec<String> {
    // Most reports have none: one search tells. And serde would read a list as the object, too.
    if !extra.starts_with('{') || !extra.contains("\"in_app\":false") {
        return Vec::new();
    }
    let Ok(Extra {
        symbolication: Some(Symbolication { frames }),
    }) = serde_json::from_str(extra)
    else {
        return Vec::new();
    };
    let mut files: Vec<String> = frames
        .into_iter()
        .filter(|frame| frame.in_app == Some(false))
        .filter_map(|frame| frame.file)
        .collect();
    files.sort_unstable();
    files.dedup();
    files.truncate(MOST_FILES);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(extra: &str, expected: &[&str]) {
        assert_eq!(library_files(extra), expected, "{extra}");
    }

    #[test]
    fn files_of_libraries() {
        let frames = |frames: &str| format!(r#"{{"a":1,"symbolication":{{"frames":[{frames}]}}}}"#);
        check(
            &frames(
                r#"{"file":"b.ts","in_app":false},{"file":"a.ts","line":1},{"reason":"x"},{"file":"a/c.ts","in_app":false},{"file":"b.ts","in_app":false}"#,
            ),
            &["a/c.ts", "b.ts"],
        );
        check(&frames(r#"{"file":"a.ts","in_app":true}"#), &[]);
        check(&frames(r#"{"file":5,"in_app":false}"#), &[]);
        check(&frames(r#"{"in_app":false}"#), &[]);
        check(r#"{"symbolication":"\"in_app\":false"}"#, &[]);
        check(r#"{"symbolication":[{"in_app":false}]}"#, &[]);
        check(r#"{"context":{"file":"a.ts","in_app":false}}"#, &[]);
        check(r#"[{"in_app":false}]"#, &[]);
    }
}
