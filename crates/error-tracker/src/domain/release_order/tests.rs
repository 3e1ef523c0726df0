use proptest::prelude::*;

use super::*;

/// Each is newer than all before it.
#[track_caller]
fn check_ascending(releases: &[&str]) {
    for (at, older) in releases.iter().enumerate() {
        assert_eq!(compare(older, older), Some(Ordering::Equal), "{older}");
        for newer in &releases[at + 1..] {
            assert_eq!(
                compare(older, newer),
                Some(Ordering::Less),
                "{older} before {newer}"
            );
            assert_eq!(
                compare(newer, older),
                Some(Ordering::Greater),
                "{newer} after {older}"
            );
        }
    }
}

#[track_caller]
fn check(one: &str, other: &str, expected: Option<Ordering>) {
    assert_eq!(compare(one, other), expected, "{one} and {other}");
    let reversed = expected.map(Ordering::reverse);
    assert_eq!(compare(other, one), reversed, "{other} and {one}");
}

#[test]
fn semantic_versions() {
    check_ascending(&[
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    ]);
    check_ascending(&["1.0.0-0", "1.0.0-1", "1.0.0-10", "1.0.0-a", "1.0.0"]);
    check_ascending(&["v1.9", "V1.10", "v2"]);
    check("1.0", "1.0.0", Some(Ordering::Equal));
    check("v1.2.3", "1.2.3", Some(Ordering::Equal));
    check("1.02.3", "1.2.03", Some(Ordering::Equal));
    check(" 1.2.3\n", "1.2.3", Some(Ordering::Equal));
    check_ascending(&["1.99999999999999999999", "1.100000000000000000000"]);
}

#[test]
fn versions_of_python_packages() {
    check_ascending(&[
        "1.0.dev1",
        "1.0.dev2",
        "1.0a1.dev1",
        "1.0a1",
        "1.0a2",
        "1.0b1",
        "1.0rc2",
        "1.0rc10",
        "1.0",
        "1.0.post1",
        "1.0.post2",
        "1.1.dev1",
        "1.1",
    ]);
    check("1.0b2", "1.0-beta.2", Some(Ordering::Equal));
    check("1.0.0.RELEASE", "1.0.0", Some(Ordering::Equal));
    check_ascending(&[
        "1.0-rc1",
        "1.0-SNAPSHOT",
        "1.0",
        "1.0-hotfix.1",
        "1.0-patch2",
    ]);
}

#[test]
fn dates() {
    check_ascending(&["2025.01.31", "2025.2.1", "2025.10.1", "2026.1.1"]);
    check_ascending(&["2025-01-31", "20250201", "2025.2.2", "2025-10-01"]);
    check_ascending(&[
        "2025.01.31",
        "2025.01.31-2",
        "2025.01.31-10",
        "2025-02-01T08:30:00Z",
        "202502010900",
        "2025-02-01T10:00",
    ]);
    check_ascending(&["2025.1.31-rc1", "2025.1.31-rc2", "2025.1.31"]);
    check_ascending(&["24.10", "25.1", "25.04"]);
    // One scheme followed the other.
    check_ascending(&["1.4.2", "2025.1.1"]);
}

#[test]
fn builds() {
    check_ascending(&["1.2.3", "1.2.3+9", "1.2.3+10", "1.2.4+1"]);
    check_ascending(&["1.2.3 (41)", "1.2.3 (42)", "1.2.3+43"]);
    check_ascending(&["1.2.3.41", "1.2.3.42"]);
    check_ascending(&["1.2.3-41", "1.2.3-42"]);
    check_ascending(&["1.2.3-build.41", "1.2.3-build.42"]);
    check_ascending(&["1.0+20250131.ab12cd3", "1.0+20250201.0aa12cd"]);
    check_ascending(&["41", "42", "1041"]);
    check_ascending(&["1.0+ab", "1.1+aa"]);
    check("1.0+ab", "1.0+ba", None);
    check("1.0+ab", "1.0+1", None);
    check("1.0", "1.0+ab", None);
    check("1.0+ab.1", "1.0+ab.2", Some(Ordering::Less));
}

#[test]
fn commits_since_a_tag() {
    check_ascending(&[
        "v1.2.3-rc1",
        "v1.2.3",
        "v1.2.3-2-g1a2b3c4",
        "v1.2.3-14-g0a2b3c4",
        "v1.2.4",
    ]);
    check("v1.2.3-2-g1a2b3c4", "v1.2.3-2-g2a2b3c4", None);
    check_ascending(&["v1.2.3", "v1.2.3-dirty"]);
}

#[test]
fn names_in_front() {
    check_ascending(&["shop@1.2.3", "shop@1.3.0"]);
    check_ascending(&["@acme/shop@1.2.3", "@acme/shop@1.3.0"]);
    check_ascending(&["shop-api-1.9", "shop-api-1.10"]);
    check_ascending(&["release/2025.1", "release/2025.2"]);
    check_ascending(&["release-41", "42", "Version 43"]);
    check_ascending(&["shop@1.2.3", "1.3.0"]);
    check("shop@1.2.3", "cart@1.3.0", None);
    check("shop-1.2.3", "cart-1.3.0", None);
}

#[test]
fn what_has_no_order() {
    for (one, other) in [
        ("1a2b3c4", "2a2b3c4"),
        ("1a2b3c4", "1.2.3"),
        ("shop@1a2b3c4d", "shop@1a2b3c4e"),
        (
            "550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-446655440001",
        ),
        ("main-1a2b3c4", "main-2b2b3c4"),
        ("1.2.3-1a2b3c4", "1.2.3-2b2b3c4"),
        ("1.2.3-1a2b3c4", "1.2.3"),
        ("latest", "1.2.3"),
        ("production", "staging"),
        ("", "1.2.3"),
        ("3f2", "3f3"),
        ("12x", "13x"),
        ("1.2.3-é!", "1.2.3"),
        ("@", "1"),
        ("shop@", "shop@1"),
    ] {
        check(one, other, None);
    }
    check("1a2b3c4", "1a2b3c4", Some(Ordering::Equal));
    check("latest", " latest", Some(Ordering::Equal));
    check("", "", Some(Ordering::Equal));
    check("1.2.3-1a2b3c4", "1.2.4-2b2b3c4", Some(Ordering::Less));
}

fn release() -> impl Strategy<Value = String> {
    let number = prop_oneof!["[0-3]", "(19|20)[0-9]{2}", "20250[1-3](0[1-9]|3[0-9])"];
    let word = prop_oneof![
        "a", "b", "rc", "dev", "post", "alpha", "final", "x", "SNAPSHOT", "p", "gabc1234",
        "1a2b3c4",
    ];
    let separator = prop_oneof!["\\.", "-", "_", "\\+", "", " ", "T", ":"];
    let piece = (separator, prop_oneof![number.clone(), number.clone(), word])
        .prop_map(|(separator, text)| separator + &text);
    let name = prop_oneof!["", "", "v", "shop@", "cart@v", "shop-"];
    (name, number, proptest::collection::vec(piece, 0..5))
        .prop_map(|(name, number, pieces)| name + &number + &pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn the_order_has_no_contradictions(one in release(), two in release(), three in release()) {
        prop_assert_eq!(compare(&one, &one), Some(Ordering::Equal));
        let order = compare(&one, &two);
        prop_assert_eq!(order, compare(&two, &one).map(Ordering::reverse));
        let onward = compare(&two, &three);
        if let (Some(order), Some(onward), Some(whole)) = (order, onward, compare(&one, &three))
            && (order == onward || order.is_eq() || onward.is_eq())
        {
            let expected = if order.is_eq() { onward } else { order };
            prop_assert_eq!(whole, expected, "{} {} {}", one, two, three);
        }
    }

    #[test]
    fn any_text_is_harmless(one in "\\PC{0,40}", two in "[0-9a-fvT@.+_ :/-]{0,30}") {
        compare(&one, &two);
        compare(&two, &two);
    }
}
