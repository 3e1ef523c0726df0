//! The compact form of any JSON value is that value.

use error_tracker::domain::json::{compact, unescape, write_string};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\\\\"/\u{0}-\u{1f}\u{e9}\u{1f600}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let members = (any::<String>(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..8).prop_map(Value::from),
            proptest::collection::vec(members, 0..8)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_compact_value_is_the_same_value(value in any_value()) {
        let pretty = serde_json::to_string_pretty(&value).expect("is written");
        let text = compact(&pretty);
        prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("is JSON"), value);
        prop_assert_eq!(compact(&text), text.clone());
        prop_assert!(text.len() <= pretty.len());
    }

    #[test]
    fn of_keys_given_twice_the_last_value_stays(members in proptest::collection::vec(("[ab\"]", any_value()), 0..12)) {
        let written: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
            .collect();
        let found: Value = serde_json::from_str(&compact(&format!("{{{}}}", written.join(",")))).expect("is JSON");
        prop_assert_eq!(found, Value::from(members.into_iter().collect::<Map<_, _>>()));
    }

    #[test]
    fn a_written_string_reads_back(text in any::<String>()) {
        let mut written = String::new();
        write_string(&mut written, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&written).expect("is JSON"), text.clone());
        prop_assert_eq!(unescape(&written).expect("is a string").text, text);
    }
}
