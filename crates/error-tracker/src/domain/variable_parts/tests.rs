use proptest::prelude::*;

use super::{replace, replace_up_to};

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(replace(text), expected, "for {text:?}");
    assert_eq!(replace(expected), expected, "a second time");
}

#[track_caller]
fn unchanged(text: &str) {
    check(text, text);
}

#[test]
fn numbers() {
    check("5 of 12 failed", "<n> of <n> failed");
    check("got -3.14, +2 and 1,024", "got <n>, <n> and <n>");
    check("from -5 to (-7), a-8", "from <n> to (<n>), a-<n>");
    check("1e-7 and 2.5E10", "<n> and <n>");
    check("version 1.2.3.4.5", "version <n>");
    check("[1,2,3]", "[<n>]");
    check("100%, 50%.", "<n>, <n>.");
    check("the 2nd of 31st", "the <n> of <n>");
    check("status=404;", "status=<n>;");
    check("x=5", "x=<n>");
    check("5", "<n>");
}

#[test]
fn numbers_with_units() {
    check("after 30s", "after <n>");
    check("after 1500ms", "after <n>");
    check("after 1h2m3.5s", "after <n>");
    check("after 12.5 µs or 7µs", "after <n> or <n>");
    check("1 second, 5 seconds", "<n>, <n>");
    check("900 KB, 1.2 MB", "<n>, <n>");
    check("512KiB of 2GiB", "<n> of <n>");
    check("5 apples", "<n> apples");
    check("10k", "<n>");
}

#[test]
fn numbers_in_names() {
    check("#1042 order-1042 user_7", "#<n> order-<n> user_<n>");
    check("/users/42/orders", "/users/<n>/orders");
    check("user10042 not found", "user<n> not found");
    check("Thread-12", "Thread-<n>");
    check("3:45", "<n>:<n>");
    check("5x-7", "5x-<n>");
    unchanged("utf8 x86 http2 E11000 TS2345 42S02 i18n k8s");
}

#[test]
fn ids_made_by_machines() {
    check("commit 9fceb02", "commit <n>");
    check(
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "commit <n>",
    );
    check("id 65f1c0ffee65f1c0ffee65f1", "id <n>");
    check("pod shop-7f9c6d5b8-x", "pod shop-<n>-x");
    check("cuid ckv8x2m9t0000qzrm1h2c3d4e", "cuid <n>");
    check("id V1StGXR8_Z5jdHi6B-myT.", "id <n>.");
    check("/u/V1StGXR8_Z5jdHi6B-myT/cart", "/u/<n>/cart");
    check("data aGVsbG8gd29ybGQhIDEyMzQ1Njc4OTA=", "data <n>");
    check("data bG9uZ2Vy/IHRleH+Qg5Zm9y==", "data <n>");
    check(
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "token <n>",
    );
    check(
        "trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "trace <n>",
    );
    unchanged("facade deadbeef added OAuth2AuthenticationProvider Utf8JsonReaderException");
    unchanged("Cannot read properties of undefined");
    unchanged("some_module.sub-module.FunctionName/with/path");
}

#[test]
fn pointers() {
    check("<Cart object at 0x7f3a10>", "<Cart object at <hex>>");
    check("0xDEADBEEF, 0x0", "<hex>, <hex>");
    unchanged("0x 0xyz");
}

#[test]
fn uuids() {
    check(
        "order 550e8400-e29b-41d4-a716-446655440000 is gone",
        "order <uuid> is gone",
    );
    check(
        "/orders/550E8400-E29B-41D4-A716-446655440000/lines",
        "/orders/<uuid>/lines",
    );
    check("order-550e8400-e29b-41d4-a716-446655440000", "order-<uuid>");
}

#[test]
fn addresses() {
    check("connect 10.0.0.1:5432: refused", "connect <ip>: refused");
    check("from 10.0.0.0/8 (127.0.0.1)", "from <ip> (<ip>)");
    check("at 10.0.0.1.", "at <ip>.");
    check("256.1.1.1", "<n>");
    check("::1 and fe80::1%eth0", "<ip> and <ip>");
    check("[2001:db8::8a2e:370:7334]:443", "[<ip>]:<n>");
    check("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "<ip>");
    check("::ffff:10.0.0.1", "<ip>");
    check("00:1a:2b:3c:4d:5e up", "<mac> up");
    check("00-1A-2B-3C-4D-5E up", "<mac> up");
    check("to bob.smith+x@mail.example.", "to <email>.");
    check("mailto:bob@mail.example:25", "mailto:<email>:<n>");
    unchanged("std::fmt add::face root@localhost @decorator a@b");
}

#[test]
fn urls() {
    check(
        "GET https://u:p@h.example:8443/users/42?page=2&x=[1#y failed",
        "GET https://h.example/users/<n>[<n>#y failed",
    );
    check(
        "GET http://h.example/a?b=1, then",
        "GET http://h.example/a, then",
    );
    check("see http://h.example/#/cart/5.", "see http://h.example/.");
    check("redis://10.0.0.1:6379/0", "redis://<ip>/<n>");
    check(
        "postgres+psycopg2://app:secret@db-3.internal:5432/shop",
        "postgres+psycopg2://db-<n>.internal/shop",
    );
    check("is http://h.example/a? Yes", "is http://h.example/a? Yes");
    unchanged("http://h.example/a/b.html");
}

#[test]
fn quoted_texts() {
    check("KeyError: 'user'", "KeyError: <str>");
    check(r#"no "a b" in "c""#, "no <str> in <str>");
    check(
        "undefined method `foo' for nil",
        "undefined method <str> for nil",
    );
    check("“a”, ‘b’, „c“, «d»", "<str>, <str>, <str>, <str>");
    check("'can't do' it", "<str> it");
    check(r#""say \"hi\" now" x"#, "<str> x");
    check(
        r#"{\"id\": 5}"#,
        r#"{\"id\": <n>}"#.replace("\\\"id\\\"", "\\<str>").as_str(),
    );
    check("'' is empty", "<str> is empty");
    unchanged("can't won't users' don't");
    unchanged("an \"open quote");
    unchanged("'over\nlines'");
}

#[test]
fn times() {
    check("at 2024-05-01T12:34:56.789Z!", "at <time>!");
    check("at 2024-05-01 12:34:56,123+02:00 x", "at <time> x");
    check("at 2024-05-01, 2024/05/01", "at <time>, <time>");
    check("01/May/2024:12:34:56 +0000", "<time>");
    check("1.5.2024 12:30", "<time>");
    check("Wed, 01 May 2024 12:34:56 GMT", "<time>");
    check("Wed May  1 12:34:56 2024", "<time>");
    check("Wed May 01 2024 12:34:56 GMT+0200 (CEST)", "<time> (CEST)");
    check("on May 5, 2024.", "on <time>.");
    check("12:34:56 PM and 1:02:03.5", "<time> and <time>");
    check("20240501T123456Z", "<time>");
    check("log-2024-05-01.txt", "log-<time>.txt");
    check("2024-13-01", "<n>-<n>-<n>");
    unchanged("May fail; Sun and Moon");
}

#[test]
fn blanks_and_line_ends() {
    check(" a  b\t\tc \r\n  d \n\n", "a b c\nd");
    check("", "");
    check(" \n ", "");
}

#[test]
fn other_alphabets() {
    check("Größe5 ungültig: 7", "Größe5 ungültig: <n>");
    check("价格 5 元", "价格 <n> 元");
    check("5€ – 7", "<n>€ – <n>");
}

#[test]
fn times_of_half_a_day() {
    check("at 12:34 PM", "at <time>");
    check("at 1:05 AM.", "at <time>.");
    check("at 1:05 p.m. and 5pm", "at <time> and <time>");
    check("at 12:34 PM UTC, PM PM", "at <time>, PM PM");
    check("12:34:56 PM PM PM", "<time> PM PM");
    check("2024-05-01 5:30 pm", "<time>");
    check("at 12:34, 5 amps", "at <n>:<n>, <n> amps");
}

#[test]
fn versions_behind_a_letter() {
    check("needs v1.2.3", "needs v<n>");
    check("needs V2.0.", "needs V<n>.");
    check("/v1.2.3/a", "/v<n>/a");
    check("v1.2@mail.example", "<email>");
    unchanged("v2 /api/v2/users v1x");
}

#[test]
fn numbers_in_groups() {
    check("1_000 rows", "<n> rows");
    check("1_234_567.5", "<n>");
    check("1'000 rows", "<n> rows");
    check(
        "1’000 and 1\u{a0}000 and 1\u{202f}000",
        "<n> and <n> and <n>",
    );
    check("1_00, 1_0000", "<n>_<n>, <n>_<n>");
    check("'1'000'", "<str>");
    check("5'10", "<n>'<n>");
}

#[test]
fn numbers_of_other_scripts() {
    check("２３ rows", "<n> rows");
    check("٣ rows, ١٬٠٠٠ rows, १२.५", "<n> rows, <n> rows, <n>");
    unchanged("Größe２ m²");
}

#[test]
fn names_that_programs_make_up_for_a_while() {
    check("/tmp/tmpx7f3k_2q", "/tmp/tmp<n>");
    check("/tmp/tmpq9w8e7rt/a.csv", "/tmp/tmp<n>/a.csv");
    check("in tmpq9w8e7rt.csv", "in tmp<n>.csv");
    check("/tmp/tmpqqwweert", "/tmp/tmp<n>");
    check("/tmp/tmp.Xa9Qk2LmPz", "/tmp/tmp.<n>");
    check("C:\\Temp\\_MEI12345\\a", "C:\\Temp\\_MEI<n>\\a");
    check("tmp_cache_1", "tmp_cache_<n>");
    unchanged("tmpfile /tmp/tmpfile tmpdownload /tmp/tmp.attributes tmp /tmp/ MEIN _MEI");
}

#[test]
fn ids_behind_their_kind() {
    check("cus_NffrFeUfNV2Hib", "cus_<n>");
    check("cus_9s6XKzkNRiz8i3", "cus_<n>");
    check("cus_NffrFeUfNVxHib", "cus_<n>");
    check(
        "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
        "pi_<n>_secret_<n>",
    );
    check("'cs_test_a1B2c3D4e5F6g7H8'", "<str>");
    check("id_9fceb02d0ae598e9", "id_<n>");
    unchanged("customer_name get_CustomerNameId my_getUserByName is_HTTPSConnectionPool");
}

#[test]
fn names_of_pods() {
    check("pod shop-7d9f8b6c59-x2x7k", "pod shop-<n>");
    check("pod shop-6c8d9f7b54-qzzkx is gone", "pod shop-<n> is gone");
    check("db-7d9f8b6c59-x2x7k, db-6c8d9f7b54-qzzkx", "db-<n>, db-<n>");
    check("/pods/a-b-7d9f8b6c59-x2x7k/log", "/pods/a-b-<n>/log");
    check("job backup-28391040-x2x7k", "job backup-<n>");
    check("order-456789-55555", "order-<n>-<n>");
    unchanged("shop-checkout shop-checkout-proxy feed-back-plans");
}

#[test]
fn the_beginning() {
    assert_eq!(replace_up_to("abc def", 5), "abc d");
    assert_eq!(replace_up_to("aé", 2), "a");
    assert_eq!(replace_up_to("5 and more", 100), "<n> and more");
    assert_eq!(replace_up_to("5", 0), "");
}

/// Texts at which a scanner with a search per beginning would take minutes.
#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "'a ", "\"a ", "`a ", "a.", "a-", "1.", "1:", "::", "a@", "a://", "a://b?", "<n>/", "<",
        "\\\"", "1,", "5 ", "May ", "a1", "0x", "«a ", "\n", "-", "a@b.", "%", "a1b2/", "/", "ab_",
        "a_", "tmp", "tmp.", "v1.", "1_000_", "1'000", "9999999-", "７.", "12:34 PM", " PM", "MEI",
        "_MEI",
    ] {
        let text = unit.repeat(250_000 / unit.len());
        let once = replace(&text);
        assert!(once.len() <= 4 * text.len(), "{unit:?}");
    }
}

/// Where a first replacement could make something new for a second one.
#[test]
fn nothing_new_appears() {
    for text in [
        "550e8400-e29b-41d4-a716-4466554400008x6yZ",
        "::12ab:00:a1b2c3, ::1eab:550e8400",
        "ZX::2d8:A1b2C3d4/1a-5",
        "http://7698cdYeams12:34:56_1b15?",
        "http://a1b2x:80/c3d4y/z5w6v",
        "a://+02:000xfe80T=775XfZ9",
        "http://1e?x::, http://1e#x:.",
        "http://h/'x'?a=5",
        "http://h:80:90/, http://h:80.x",
        "12:zz@mail.example, bob@mail.example-5",
        "'abc'5 'def'",
        "\"http://h/?a\\\" x\"",
        "1,2b@mail.example",
    ] {
        let once = replace(text);
        assert_eq!(replace(&once), once, "of {text}");
    }
}

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "'",
            "\"",
            "`",
            "“",
            "”",
            "<",
            ">",
            "<n>",
            "<str>",
            "<ip>",
            "<time>",
            "://",
            "http://",
            "?",
            "#",
            ":",
            "::",
            ".",
            ",",
            "-",
            "+",
            "/",
            "\\",
            "_",
            "=",
            "@",
            "%",
            " ",
            "  ",
            "\n",
            "(",
            "[",
            "a",
            "Z",
            "é",
            "µs",
            "5",
            "42",
            "2024-05-01",
            "12:34:56",
            "T",
            "PM",
            " GMT",
            "May",
            "Wed",
            " MB",
            "s",
            "0x",
            "ff",
            "10.0.0.1",
            "fe80",
            "x.de",
            "bob@x.de",
            "550e8400-e29b-41d4-a716-446655440000",
            "V1StGXR8_Z5jdHi6B",
            "a1b2c3",
            "deadbeef",
            "1e",
            "abc123",
            "00:1a:2b:3c:4d:5e",
            "_000",
            "'000",
            "\u{a0}000",
            "v1.2",
            "tmp",
            "tmpx7f3k_2q",
            "_MEI12345",
            "cus_NffrFeUfNV2Hib",
            "shop-7d9f8b6c59-x2x7k",
            "-7d9f8b6c59-x2x7k",
            "２３",
            "٫",
            " p.m.",
        ])
        .prop_map(str::to_owned),
        "[a-f0-9]{1,12}",
        "[A-Za-z0-9]{1,9}",
        "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_second_replacement_changes_nothing(text in soup()) {
        let once = replace(&text);
        prop_assert_eq!(replace(&once), once.clone(), "of {:?}", text);
    }

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        let once = replace(&text);
        prop_assert_eq!(replace(&once), once);
    }

    #[test]
    fn values_do_not_matter(
        number in any::<u64>(),
        other in any::<u64>(),
        hash in "[0-9a-f]{32}",
        first in any::<[u8; 4]>(),
        port in any::<u16>(),
        user in "[a-z]{2,8}",
    ) {
        let text = |number: u64, hash: &str, address: [u8; 4], port: u16, user: &str| {
            let [a, b, c, d] = address;
            replace(&format!(
                "order {number} of {user}@mail.example ({hash}) at {a}.{b}.{c}.{d}:{port} '{user}' 0x{number:x}"
            ))
        };
        let expected = "order <n> of <email> (<n>) at <ip> <str> <hex>";
        prop_assert_eq!(text(number, &hash, first, port, &user), expected);
        prop_assert_eq!(text(other, "0123456789abcdef", [1, 2, 3, 4], 1, "eve"), expected);
    }
}
