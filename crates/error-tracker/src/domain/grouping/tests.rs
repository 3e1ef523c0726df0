mod cases;
mod compiled;
mod scripts;

use proptest::prelude::*;

use super::*;
use crate::domain::report::ErrorReport;

/// A report: type, message, traceback.
type Report<'r> = (&'r str, &'r str, &'r str);

fn key((exception_type, message, traceback): Report<'_>) -> GroupingKey {
    stable_key("shop", exception_type, message, traceback)
}

/// The same error twice.
#[track_caller]
pub(super) fn same(left: Report<'_>, right: Report<'_>) {
    assert_ne!(left, right, "nothing differs");
    assert_eq!(key(left), key(right), "{left:#?}\n{right:#?}");
}

/// Two errors.
#[track_caller]
pub(super) fn apart(left: Report<'_>, right: Report<'_>) {
    assert_ne!(key(left), key(right), "{left:#?}\n{right:#?}");
}

#[test]
fn files_known_to_be_of_a_library_do_not_count() {
    let trace = |inner: &str| {
        format!(
            "TypeError: x\n    at {inner} (../vendor/ui/core.ts:1:2)\n    at submitOrder (src/order.ts:9:1)"
        )
    };
    let libraries = ["../vendor/ui/core.ts".to_owned(), "b.ts".to_owned()];
    let key = |trace: &str, libraries: &[String]| {
        stable_key_without("shop", "TypeError", "x", trace, libraries)
    };
    let (first, second) = (trace("dispatchEvent"), trace("flushQueue"));
    assert_eq!(key(&first, &libraries), key(&second, &libraries));
    assert_ne!(key(&first, &[]), key(&second, &[]));
    assert_eq!(
        key(&first, &[]),
        stable_key("shop", "TypeError", "x", &first)
    );
    let report = |inner: &str| {
        let extra = serde_json::json!({"symbolication": {"frames": [{"file": libraries[0], "in_app": false}]}});
        let body = serde_json::json!({"project": "shop", "exception_type": "TypeError", "message": "x",
            "traceback": trace(inner), "extra": extra});
        let report = ErrorReport::from_json(body.to_string().as_bytes()).expect("a report");
        report.stable_key()
    };
    assert_eq!(report("dispatchEvent"), key(&first, &libraries));
    assert_eq!(report("dispatchEvent"), report("flushQueue"));
}

#[test]
fn keys_are_stored_with_their_kind() {
    let fingerprint = Fingerprint::of("shop", "E", "x");
    let original = GroupingKey::original(fingerprint);
    assert_eq!(original.as_bytes()[0], b'o');
    assert_eq!(original.fingerprint(), fingerprint);
    let stable = stable_key("shop", "E", "x", "");
    assert_eq!(
        (stable.as_bytes()[0], stable.kind()),
        (b's', KeyKind::Stable)
    );
    for key in [original, stable] {
        assert_eq!(GroupingKey::from_bytes(key.as_bytes()), Some(key));
    }
    assert_eq!(GroupingKey::from_bytes(b"o234567890123456"), None);
    assert_eq!(GroupingKey::from_bytes(b"x2345678901234567"), None);
}

#[test]
fn the_setting_is_read() {
    for mode in [GroupingMode::Original, GroupingMode::Stable] {
        assert_eq!(GroupingMode::parse(mode.as_str()), Some(mode));
    }
    assert_eq!(GroupingMode::parse("Stable"), None);
    assert_eq!(GroupingMode::default(), GroupingMode::Original);
}

#[test]
fn projects_and_types_do_not_run_together() {
    let key = |project, exception_type| stable_key(project, exception_type, "x", "");
    assert_ne!(key("a:b", "c"), key("a", "b:c"));
    assert_ne!(key("ab", ""), key("a", "b"));
    assert_ne!(key("a", "E"), key("b", "E"));
    assert_ne!(key("a", "E"), key("a", "F"));
}

#[test]
fn types_without_their_numbers() {
    for (left, right) in [
        ("com.acme.Cart$1", "com.acme.Cart$2"),
        ("com.acme.Cart$$Lambda$14", "com.acme.Cart$$Lambda$99"),
        (
            "class@anonymous/app/a.php:12$0",
            "class@anonymous/app/a.php:14$1",
        ),
        ("#<Class:0x000055d0>", "#<Class:0x000066aa>"),
    ] {
        same((left, "x", ""), (right, "x", ""));
    }
    apart(("Http404", "x", ""), ("Http500", "x", ""));
    apart(("Cart$A1", "x", ""), ("Cart$A2", "x", ""));
}

#[test]
fn without_frames_the_message_counts() {
    same(
        ("E", "order 42 of bob@mail.example not found", ""),
        ("E", "order 977 of eve@mail.example not found", ""),
    );
    same(
        (
            "E",
            "lost 10.0.0.1:5432 at 2024-05-01 12:00:00\r\n",
            "not a trace",
        ),
        (
            "E",
            "lost 10.0.0.2:5432 at 2024-05-02 07:30:11\n",
            "another text",
        ),
    );
    apart(
        ("E", "order 42 not found", ""),
        ("E", "user 42 not found", ""),
    );
}

/// Each pair is one error with other values in it.
#[test]
fn values_of_all_kinds_do_not_count() {
    for (left, right) in [
        ("at 12:34 PM", "at 1:05 AM"),
        ("needs v1.2.3", "needs v2.0.0"),
        ("1_000 rows", "20 rows"),
        ("1'000 rows", "27 rows"),
        ("２３ rows", "٣ rows"),
        ("２３ rows", "7 rows"),
        (
            "No such file: /tmp/tmpx7f3k_2q",
            "No such file: /tmp/tmpq9w8e7rt",
        ),
        ("no cus_NffrFeUfNV2Hib", "no cus_9s6XKzkNRiz8i3"),
        ("shop-7d9f8b6c59-x2x7k died", "shop-6c8d9f7b54-q9zk2 died"),
        ("lost /tmp/_MEI12345/a.so", "lost /tmp/_MEIx9Qk2L/a.so"),
    ] {
        same(("E", left, ""), ("E", right, ""));
    }
}

#[test]
fn words_that_look_like_values_count() {
    for (left, right) in [
        ("no tmpfile", "no tmpdir"),
        ("no customer_name", "no customer_mail"),
        ("shop-checkout died", "shop-payment died"),
        ("error E1234", "error E4321"),
        ("error TS2345", "error TS2322"),
        ("/api/v1 is gone", "/api/v2 is gone"),
        ("cus_NffrFeUfNV2Hib", "sub_NffrFeUfNV2Hib"),
        ("shop-7d9f8b6c59-x2x7k", "mail-7d9f8b6c59-x2x7k"),
        ("/tmp/tmpx7f3k_2q", "/tmp/cart"),
        ("1_000 rows", "1_000 columns"),
        ("at 12:34 PM", "at noon"),
    ] {
        apart(("E", left, ""), ("E", right, ""));
    }
}

#[test]
fn without_frames_and_message_the_text_counts() {
    same(
        ("E", "", "job 42 died\r\nafter 3 s "),
        ("E", " ", "job 43 died\nafter 500 s"),
    );
    apart(("E", "", "job 42 died"), ("E", "", "job 42 hung"));
    apart(("E", "job died", ""), ("E", "", "job died"));
    assert_eq!(key(("", "", "")), key(("", "", "")));
}

#[test]
fn of_a_long_message_the_beginning_counts() {
    let long = "word ".repeat(300);
    let (left, right) = (format!("{long} one"), format!("{long} other"));
    same(("E", &left, ""), ("E", &right, ""));
    let (left, right) = (format!("one {long}"), format!("other {long}"));
    apart(("E", &left, ""), ("E", &right, ""));
}

/// Numbers that differ between two occurrences.
#[derive(Clone, Debug)]
struct Values {
    lines: [u32; 3],
    column: u32,
    hash: String,
    id: u64,
    release: u64,
}

fn values() -> impl Strategy<Value = Values> {
    (
        [1..9_999_u32, 1..9_999, 1..9_999],
        1..500_000_u32,
        "[a-f][0-9][a-f0-9]{6}",
        any::<u64>(),
        20_000_101_000_000..20_991_231_235_959_u64,
    )
        .prop_map(|(lines, column, hash, id, release)| Values {
            lines,
            column,
            hash,
            id,
            release,
        })
}

/// One error of each kind, with everything that may vary made from `values`.
fn varied(values: &Values) -> Vec<(String, String)> {
    let Values {
        lines: [a, b, c],
        column,
        hash,
        id,
        release,
    } = values;
    let message = format!("order {id} ({hash}) not found");
    let traces = [
        format!(
            "Traceback (most recent call last):\n  File \"/srv/shop/releases/{release}/shop/views.py\", line {a}, in checkout\n    total({id})\n  File \"/srv/shop/releases/{release}/shop/cart.py\", line {b}, in total\n    x\nValueError: {message}"
        ),
        format!(
            "TypeError: {message}\n    at Cart.total (https://h{c}.example/static/js/main.{hash}.js?v={id}:{a}:{column})\n    at checkout (https://h{c}.example/static/js/main.{hash}.js?v={id}:{b}:{column})"
        ),
        format!(
            "a@https://shop.example/main.{hash}.js:1:{column}\nt@https://shop.example/main.{hash}.js:1:{c}"
        ),
        format!(
            "E: {message}\n\tat com.acme.Cart.total(Cart.java:{a})\n\tat com.acme.Cart.lambda$run${b}(Cart.java:{c})\nCaused by: F: {id}\n\tat com.acme.Cart$5.load(Cart.java:{b})\n\t... {c} more"
        ),
        format!(
            "panic: {message}\n\ngoroutine {c} [running]:\nmain.(*Cart).Total(0x{id:x}, {{0x{hash}, 0x1}})\n\t/build/{hash}/cart.go:{a} +0x{b:x}\nmain.main.func{b}()\n\t/build/{hash}/main.go:{c} +0x1\n"
        ),
        format!(
            "/srv/shop/releases/{release}/app/cart.rb:{a}:in `total': {message} (ArgumentError)\n\tfrom /srv/shop/releases/{release}/app/bill.rb:{b}:in `block in run'"
        ),
        format!(
            "RuntimeException: {message} in /srv/releases/{release}/src/Cart.php:{a}\nStack trace:\n#0 /srv/releases/{release}/src/Bill.php({b}): Shop\\Cart->total({id})\n#1 /srv/releases/{release}/src/Bill.php({c}): Shop\\{{closure:Shop\\Bill::run():{a}}}('{hash}')\n#2 {{main}}"
        ),
        format!(
            "thread 'main' ({id}) panicked at src/cart.rs:{a}:{column}:\n{message}\nstack backtrace:\n   0: shop::cart::total::h0123{hash}0123\n             at /build/{hash}/src/cart.rs:{b}:{column}\n   1: shop::main::{{{{closure}}}}\n             at ./src/main.rs:{c}:1"
        ),
        format!(
            "Shop.CartException: {message}\n   at Shop.Cart.Total(Int64 id) in C:\\build\\{hash}\\Cart.cs:line {a}\n   at Shop.Cart.<RunAsync>d__{b}.MoveNext() in C:\\build\\{hash}\\Cart.cs:line {c}"
        ),
        String::new(),
    ];
    traces
        .into_iter()
        .map(|trace| (message.clone(), trace))
        .collect()
}

proptest! {
    #[test]
    fn values_do_not_matter(left in values(), right in values()) {
        for ((message, trace), (other, other_trace)) in varied(&left).iter().zip(&varied(&right)) {
            prop_assert_eq!(
                key(("E", message, trace)),
                key(("E", other, other_trace)),
                "{}\n\n{}", trace, other_trace
            );
        }
    }

    #[test]
    fn kinds_of_errors_are_apart(values in values()) {
        let keys: Vec<_> = varied(&values)
            .iter()
            .map(|(message, trace)| key(("E", message, trace)))
            .collect();
        for (index, left) in keys.iter().enumerate() {
            prop_assert!(!keys[..index].contains(left), "kind {}", index);
        }
    }

    #[test]
    fn any_report_has_a_key(project in any::<String>(), name in any::<String>(), message in any::<String>(), trace in any::<String>()) {
        let first = stable_key(&project, &name, &message, &trace);
        prop_assert_eq!(first, stable_key(&project, &name, &message, &trace));
    }
}

/// The contract's fingerprint, too, reads such texts once.
#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "\n",
        "at ",
        "at \n",
        "at (",
        "File \"",
        "File \"\n",
        "File \"a\"",
        "File \"a\", line ",
        "@",
        "@:\n",
        ":1",
        "'",
        "a.",
        "1:",
    ] {
        let text = unit.repeat(250_000 / unit.len());
        let stable = stable_key("shop", "E", &text, &text);
        assert_ne!(stable.fingerprint(), Fingerprint::of("shop", "E", &text));
    }
}
