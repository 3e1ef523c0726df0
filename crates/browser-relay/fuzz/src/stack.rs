//! Stack traces.

use serde_json::Value;

use crate::domain::debug_id::DebugIds;
use crate::domain::deobfuscate::{Found, Outcome, Unmapped, deobfuscate, queries};
use crate::domain::stack::{Dialect, Stack};

/// Parses a stack and writes it anew, first with nothing found and then with every other frame found.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let stack = Stack::parse(&text);
    let count = stack.frames().count();
    for (line, frame) in stack.frames() {
        assert!(line <= text.matches('\n').count());
        assert!(!frame.file.is_empty() && frame.function != Some(""));
        assert!(!frame.file.contains('\n'));
    }
    assert_eq!(queries(&stack, &DebugIds::default()).len(), count);

    let unmapped: Vec<Outcome> = vec![Err(Unmapped::NoMapForFile); count];
    let (same, symbolication) = deobfuscate(&stack, &unmapped);
    assert_eq!(same, text, "what is not found stays byte for byte");
    check_described(symbolication.as_json(), count);

    let found = |index: usize| Found {
        source: "src/cart.ts".to_owned(),
        line: 7,
        column: index as u32 + 1,
        name: index.is_multiple_of(4).then(|| "total".to_owned()),
        ..Found::default()
    };
    let outcomes: Vec<Outcome> = (0..count)
        .map(|index| match index % 2 {
            0 => Ok(found(index)),
            _ => Err(Unmapped::NoMapForFile),
        })
        .collect();
    let (readable, symbolication) = deobfuscate(&stack, &outcomes);
    check_described(symbolication.as_json(), count);
    check_rewritten(&stack, &readable);
}

fn check_described(json: &str, count: usize) {
    let described: Value = serde_json::from_str(json).expect("JSON");
    let frames = described["frames"].as_array().expect("frames");
    assert_eq!(frames.len(), count.min(50));
}

/// The lines of the readable stack are frames where those of the stack are, and every other one stands in the source.
fn check_rewritten(stack: &Stack<'_>, readable: &str) {
    let again = Stack::parse(readable);
    let mut rewritten = again.frames();
    for (index, (line, frame)) in stack.frames().enumerate() {
        let (new_line, new) = rewritten.next().expect("as many frames");
        assert_eq!(new_line, line);
        if index % 2 == 1 {
            assert_eq!(
                (new.file, new.line, new.column),
                (frame.file, frame.line, frame.column)
            );
            continue;
        }
        // A name of Firefox that begins like a frame of V8 reads as one, as it did before.
        if frame.dialect != Dialect::Gecko {
            assert_eq!((new.file, new.line), ("src/cart.ts", 7), "{readable}");
            assert_eq!(new.column as usize, index + 1, "{readable}");
        }
    }
    assert!(rewritten.next().is_none(), "no more frames");
}
