//! The shape of a batch as JSON: arrays and objects are taken apart, every value inside an item stays raw.
//!
//! Written out rather than derived, because a key that comes twice is refused at every level, also among the fields that
//! nobody reads.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::strict_json;

/// An array of items.
pub(super) struct Items<'a>(pub(super) Vec<RawItem<'a>>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of metrics")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

/// `{"metrics": [...]}`; other keys are read over.
pub(super) struct Wrapped<'a>(pub(super) Vec<RawItem<'a>>);

impl<'de> Deserialize<'de> for Wrapped<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrappedVisitor;
        impl<'de> Visitor<'de> for WrappedVisitor {
            type Value = Wrapped<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the key metrics")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut items: Option<Items<'de>> = None;
                let mut others = HashSet::new();
                while let Some(Key(key)) = map.next_key()? {
                    if key == "metrics" {
                        refuse_second(items.is_some())?;
                        items = Some(map.next_value()?);
                    } else {
                        let value: &RawValue = map.next_value()?;
                        read_over(&mut others, key, value)?;
                    }
                }
                items
                    .map(|items| Wrapped(items.0))
                    .ok_or_else(|| A::Error::missing_field("metrics"))
            }
        }
        deserializer.deserialize_map(WrappedVisitor)
    }
}

/// An item as it came; every value still raw.
#[derive(Default)]
pub(super) struct RawItem<'a> {
    pub(super) name: Option<&'a RawValue>,
    pub(super) kind: Option<&'a RawValue>,
    pub(super) value: Option<&'a RawValue>,
    pub(super) labels: Option<&'a RawValue>,
    pub(super) timestamp: Option<&'a RawValue>,
    pub(super) project: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for RawItem<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = RawItem<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a metric")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut item = RawItem::default();
                let mut others = HashSet::new();
                while let Some(Key(key)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    let field = match &*key {
                        "name" => &mut item.name,
                        "type" => &mut item.kind,
                        "value" => &mut item.value,
                        "labels" => &mut item.labels,
                        "timestamp" => &mut item.timestamp,
                        "project" => &mut item.project,
                        _ => {
                            read_over(&mut others, key, value)?;
                            continue;
                        }
                    };
                    refuse_second(field.is_some())?;
                    *field = Some(value);
                }
                Ok(item)
            }
        }
        deserializer.deserialize_map(ItemVisitor)
    }
}

fn refuse_second<E: serde::de::Error>(seen_before: bool) -> Result<(), E> {
    if seen_before {
        Err(E::custom(strict_json::NotStrict::DuplicateKey))
    } else {
        Ok(())
    }
}

/// Checks an ignored field and remembers its key.
fn read_over<'a, E: serde::de::Error>(
    seen: &mut HashSet<Cow<'a, str>>,
    key: Cow<'a, str>,
    value: &'a RawValue,
) -> Result<(), E> {
    if !seen.insert(key) {
        return Err(E::custom(strict_json::NotStrict::DuplicateKey));
    }
    strict_json::check(value.get()).map_err(E::custom)
}

/// A key, borrowed from the body when it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
