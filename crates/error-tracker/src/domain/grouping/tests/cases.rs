//! The table of cases in `docs/grouping.md`, line by line.

use super::*;

/// One group or two.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    One,
    Two,
}
use Groups::{One, Two};

#[track_caller]
fn check(left: Report<'_>, right: Report<'_>, original: Groups, stable: Groups) {
    assert_ne!(left, right, "nothing differs");
    let groups = |same| if same { One } else { Two };
    let fingerprint = |(exception_type, _, traceback): Report<'_>| {
        Fingerprint::of("shop", exception_type, traceback)
    };
    let by_original = groups(fingerprint(left) == fingerprint(right));
    let by_stable = groups(key(left) == key(right));
    assert_eq!(
        (by_original, by_stable),
        (original, stable),
        "{left:#?}\n{right:#?}"
    );
}

/// As [`check`], of tracebacks with the same type and message.
#[track_caller]
fn traces(left: &str, right: &str, original: Groups, stable: Groups) {
    check(("E", "m", left), ("E", "m", right), original, stable);
}

#[test]
fn releases() {
    let python = |root: &str, line: u32| {
        format!(
            "  File \"{root}/shop/views.py\", line 8, in show\n    x\n  File \"{root}/shop/cart.py\", line {line}, in total\n    x\nE: m"
        )
    };
    traces(&python("/app", 3), &python("/app", 4), Two, One);
    traces(
        &python("/srv/releases/20240501120000", 3),
        &python("/srv/releases/20240617093012", 3),
        Two,
        One,
    );
    let script = |host: &str, hash: &str| {
        format!("E: m\n    at total (https://{host}/assets/main-{hash}.js:2:90210)")
    };
    traces(
        &script("a.example", "BX3k9a2Z"),
        &script("b.example", "BX3k9a2Z"),
        Two,
        One,
    );
    traces(
        &script("a.example", "BX3k9a2Z"),
        &script("a.example", "Cq81_ZxT"),
        Two,
        One,
    );
}

#[test]
fn versions_of_runtimes() {
    let frame = "  File \"/app/cart.py\", line 3, in total\n    sum([x for x in y])\n";
    let comprehension = "  File \"/app/cart.py\", line 3, in <listcomp>\n    sum([x for x in y])\n";
    traces(
        &[frame, comprehension, "E: m"].concat(),
        &[frame, "         ^^^^^\nE: m"].concat(),
        One,
        One,
    );
    traces(
        "/app/cart.rb:3:in `total': m (E)",
        "/app/cart.rb:3:in 'Cart#total': m (E)",
        Two,
        One,
    );
    let java = |accessor: &str, lambda: u32| {
        format!(
            "E: m\n\tat a.Cart.total(Cart.java:3)\n\tat a.Cart.lambda$run${lambda}(Cart.java:9)\n\tat a.Cart$$Lambda${lambda}/0x{lambda}.run(Unknown Source)\n\tat jdk.internal.reflect.{accessor}(Unknown Source)"
        )
    };
    traces(
        &java("GeneratedMethodAccessor7.invoke", 1),
        &java("NativeMethodAccessorImpl.invoke0", 2),
        One,
        One,
    );
    let csharp = |name: &str, place: &str| format!("   at Shop.Cart.{name}(){place}");
    traces(
        &csharp("Total", ""),
        &csharp("Total", " in /src/Cart.cs:line 3"),
        Two,
        One,
    );
    traces(
        &csharp("<Total>d__12.MoveNext", ""),
        &csharp("<Total>d__14.MoveNext", ""),
        Two,
        One,
    );
    let go = |number: u32| {
        format!(
            "panic: m\n\ngoroutine {number} [running]:\nmain.total(0x{number}, {{0x1}})\n\t/app/cart.go:3 +0x{number}\n"
        )
    };
    traces(&go(34), &go(71), Two, One);
    traces(
        "E: m\n    at Cart.total (https://a.example/src/cart.ts:3:20)",
        "total@https://a.example/src/cart.ts:3:15",
        One,
        One,
    );
    traces(
        "E: m\n    at UserRepository.find (/srv/repo.js:3:4)",
        "E: m\n    at OrderRepository.find (/srv/repo.js:3:4)",
        One,
        Two,
    );
}

#[test]
fn messages() {
    let no_trace = |message| ("E", message, "");
    check(
        no_trace("order 42 not found"),
        no_trace("order 977 not found"),
        One,
        One,
    );
    check(
        no_trace("order 42 not found"),
        no_trace("user 42 not found"),
        One,
        Two,
    );
    check(
        ("E", "m", "lost since 12:00:00\r\n"),
        ("E", "m", "lost since 12:00:07\n"),
        Two,
        One,
    );
    let quoting = |file: &str| {
        format!("  File \"/app/cart.py\", line 3, in total\n    x\nE: see File \"{file}\", line 4")
    };
    traces(&quoting("a.py"), &quoting("b.py"), Two, One);
    check(
        (
            "E",
            "no socket at ws://live.example:8443",
            "E: no socket at ws://live.example:8443",
        ),
        (
            "E",
            "no socket at ws://live.example:9000",
            "E: no socket at ws://live.example:9000",
        ),
        Two,
        One,
    );
    let library = "E: m\n    at GetAddrInfoReqWrap.onlookupall [as oncomplete] (node:dns:120:26)";
    check(
        ("E", "getaddrinfo ENOTFOUND db.internal", library),
        ("E", "getaddrinfo ENOTFOUND cache.internal", library),
        One,
        Two,
    );
}

#[test]
fn bundles() {
    let bundle = |name: &str, hash: &str| {
        format!("E: m\n    at {name} (https://a.example/main.{hash}.js:1:90210)")
    };
    let first = bundle("t.a", "3f2a1b9c");
    check(
        ("E", "no lines", &first),
        ("E", "no price", &first),
        One,
        Two,
    );
    traces(&first, &bundle("e.n", "0a1b2c3d"), Two, One);
}

#[test]
fn places_and_callers() {
    let java = |caller: &str, callee: &str, line: u32, cause: &str| {
        format!(
            "E: m\n\tat a.Cart.{callee}(Cart.java:{line})\n\tat a.Cart.{caller}(Cart.java:90)\nCaused by: {cause}: m\n\tat a.Stock.find(Stock.java:7)\n"
        )
    };
    let first = java("show", "total", 3, "F");
    traces(&first, &java("show", "weight", 3, "F"), One, Two);
    traces(&first, &java("show", "total", 3, "G"), One, Two);
    traces(&first, &java("show", "total", 5, "F"), Two, One);
    traces(&first, &java("bill", "total", 3, "F"), One, Two);
    let overflow = |names: &str| {
        let frame = |name| format!("\tat a.Tree.{name}(Tree.java:{})", u32::from(name));
        let frames: Vec<_> = names.chars().map(frame).collect();
        frames.join("\n")
    };
    traces(
        &overflow(&"xyz".repeat(20)),
        &overflow(&"yzx".repeat(20)),
        Two,
        One,
    );
    let tasks = |first: u32, second: u32| {
        let member = |line: u32| {
            format!(
                "    | Traceback (most recent call last):\n    |   File \"/app/a.py\", line {line}, in task{line}\n    | E: m\n"
            )
        };
        format!(
            "  + Exception Group Traceback (most recent call last):\n  |   File \"/app/a.py\", line 1, in all\n  | ExceptionGroup: m\n  +-+---------------- 1 ----------------\n{}    +---------------- 2 ----------------\n{}    +------------------------------------\n",
            member(first),
            member(second)
        )
    };
    traces(&tasks(5, 6), &tasks(6, 5), Two, One);
}
