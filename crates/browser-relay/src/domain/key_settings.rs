//! What an operator may set for a DSN key, as the admin API takes it.

use serde_json::{Map, Value};

use super::dsn::LONGEST_PROJECT;
use super::event::{INVALID_JSON, open};
use super::origin::Origins;

/// Characters of a key's name.
const LONGEST_NAME: usize = 100;
/// Origins of one key.
const MOST_ORIGINS: usize = 100;
/// Requests a minute that a limit may allow.
const LARGEST_LIMIT: u64 = 1_000_000;
/// What a change may hold.
const FIELDS: &str = "name, origins, allow_no_origin, rate_limit, total_limit or active";

/// The settings of a key. The default is a key as the original had them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeySettings {
    /// For people.
    pub(crate) name: String,
    /// Pages that may use the key; any, as far as `CORS_ORIGINS` lets them, when there are none.
    pub(crate) origins: Option<Vec<String>>,
    /// Whether a key with origins takes requests without one, which no page sends.
    pub(crate) allow_no_origin: bool,
    /// Requests a minute of one address, in place of `RATE_LIMIT`.
    pub(crate) rate_limit: Option<u32>,
    /// Requests a minute of all addresses together.
    pub(crate) total_limit: Option<u32>,
}

/// Reads a new key: its project, which the contract demands, and its settings. Other fields are ignored.
pub(crate) fn new_key(body: &[u8]) -> Result<(String, KeySettings), String> {
    let mut fields = object(body)?;
    let Some(Value::String(project)) = fields.remove("project") else {
        return Err("Missing required field: project".to_owned());
    };
    if project.is_empty() || project.len() > LONGEST_PROJECT {
        return Err("Field 'project' must be 1-100 characters".to_owned());
    }
    let mut settings = KeySettings::default();
    for (field, value) in fields {
        settings.set(&field, value)?;
    }
    Ok((project, settings))
}

/// Reads a change of a key. Fields that are not given stay as they are; the answer is what `active` was set to, if it
/// was. A field that does not exist is a fault: nobody would notice that nothing changed.
pub(crate) fn change(body: &[u8], settings: &mut KeySettings) -> Result<Option<bool>, String> {
    let mut fields = object(body)?;
    let active = match fields.remove("active") {
        None => None,
        Some(Value::Bool(active)) => Some(active),
        Some(_) => return Err("Field 'active' must be true or false".to_owned()),
    };
    for (field, value) in fields {
        if field == "project" {
            return Err("The project of a key cannot be changed; create another key".to_owned());
        }
        if !settings.set(&field, value)? {
            return Err(format!("Unknown field {field:?}; expected {FIELDS}"));
        }
    }
    Ok(active)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    // Refuses a key given twice, which a map would not notice.
    open(body).map_err(|refusal| refusal.0.to_owned())?;
    serde_json::from_slice(body).map_err(|_| INVALID_JSON.0.to_owned())
}

impl KeySettings {
    /// Sets a field; `false` when there is none of this name.
    fn set(&mut self, field: &str, value: Value) -> Result<bool, String> {
        match field {
            "name" => self.name = name(value)?,
            "origins" => self.origins = origins(value)?,
            "allow_no_origin" => {
                self.allow_no_origin = value
                    .as_bool()
                    .ok_or("Field 'allow_no_origin' must be true or false")?;
            }
            "rate_limit" => self.rate_limit = limit(field, &value)?,
            "total_limit" => self.total_limit = limit(field, &value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn name(value: Value) -> Result<String, String> {
    match value {
        Value::String(name)
            if name.chars().count() <= LONGEST_NAME && !name.contains(char::is_control) =>
        {
            Ok(name)
        }
        _ => Err(format!(
            "Field 'name' must be a text of at most {LONGEST_NAME} characters without line breaks"
        )),
    }
}

fn origins(value: Value) -> Result<Option<Vec<String>>, String> {
    let wrong = || {
        format!(
            "Field 'origins' must be an array of 1 to {MOST_ORIGINS} origins such as https://shop.example, or null for CORS_ORIGINS"
        )
    };
    let entries = match value {
        Value::Null => return Ok(None),
        Value::Array(entries) if (1..=MOST_ORIGINS).contains(&entries.len()) => entries,
        _ => return Err(wrong()),
    };
    let mut origins = Vec::with_capacity(entries.len());
    for entry in entries {
        let Value::String(entry) = entry else {
            return Err(wrong());
        };
        let entry = entry.trim().to_owned();
        if entry.is_empty() {
            return Err(wrong());
        }
        if !origins.contains(&entry) {
            origins.push(entry);
        }
    }
    Origins::parse(origins.iter().map(String::as_str))
        .map_err(|why| format!("Field 'origins': {why}"))?;
    Ok(Some(origins))
}

fn limit(field: &str, value: &Value) -> Result<Option<u32>, String> {
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_u64()
        .filter(|limit| (1..=LARGEST_LIMIT).contains(limit))
        .map(|limit| Some(limit as u32))
        .ok_or_else(|| {
            format!(
                "Field '{field}' must be a whole number of requests a minute, 1 to {LARGEST_LIMIT}, or null"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check_change(body: &Value, expected: Result<&Value, &str>) {
        let mut settings = KeySettings {
            name: "old".to_owned(),
            rate_limit: Some(5),
            ..KeySettings::default()
        };
        let active = change(body.to_string().as_bytes(), &mut settings);
        let found = active.map(|active| {
            json!([
                settings.name,
                settings.origins,
                settings.allow_no_origin,
                settings.rate_limit,
                settings.total_limit,
                active
            ])
        });
        match expected {
            Ok(expected) => assert_eq!(found.as_ref(), Ok(expected), "{body}"),
            Err(why) => assert!(
                found.as_ref().is_err_and(|fault| fault.contains(why)),
                "{body}: {found:?}"
            ),
        }
    }

    #[test]
    fn changes() {
        check_change(&json!({}), Ok(&json!(["old", null, false, 5, null, null])));
        check_change(
            &json!({"name": "é", "origins": [" https://a.example ", "https://a.example"], "allow_no_origin": true,
                "rate_limit": null, "total_limit": 1_000_000, "active": true}),
            Ok(&json!([
                "é",
                ["https://a.example"],
                true,
                null,
                1_000_000,
                true
            ])),
        );
        check_change(
            &json!({"origins": null, "active": false}),
            Ok(&json!(["old", null, false, 5, null, false])),
        );
        for (body, why) in [
            (json!([]), "must be a JSON object"),
            (json!({"project": "x"}), "cannot be changed"),
            (
                json!({"origin": []}),
                "Unknown field \"origin\"; expected name",
            ),
            (json!({"name": 5}), "at most 100 characters"),
            (json!({"name": "n".repeat(101)}), "at most 100 characters"),
            (json!({"name": "a\nb"}), "without line breaks"),
            (json!({"origins": []}), "1 to 100 origins"),
            (json!({"origins": "https://a.example"}), "1 to 100 origins"),
            (json!({"origins": [" "]}), "1 to 100 origins"),
            (
                json!({"origins": ["https://a.example", 5]}),
                "1 to 100 origins",
            ),
            (
                json!({"origins": ["a.example"]}),
                "\"a.example\" has no scheme",
            ),
            (json!({"origins": ["https://a.example/"]}), "is no origin"),
            (
                json!({"origins": vec!["https://a.example"; 101]}),
                "1 to 100",
            ),
            (json!({"allow_no_origin": "yes"}), "true or false"),
            (json!({"active": 1}), "true or false"),
            (
                json!({"rate_limit": 0}),
                "'rate_limit' must be a whole number",
            ),
            (json!({"rate_limit": 1.5}), "whole number"),
            (json!({"total_limit": 1_000_001}), "'total_limit' must be"),
            (json!({"total_limit": "5"}), "whole number"),
        ] {
            check_change(&body, Err(why));
        }
        assert_eq!(
            change(
                b"{\"name\":\"a\",\"name\":\"b\"}",
                &mut KeySettings::default()
            ),
            Err("Invalid JSON".to_owned())
        );
    }

    #[test]
    fn new_keys() {
        let read = |body: Value| new_key(body.to_string().as_bytes());
        assert_eq!(
            read(json!({"project": "web", "other": 1})),
            Ok(("web".to_owned(), KeySettings::default()))
        );
        let (_, settings) =
            read(json!({"project": "web", "name": "shop", "origins": ["*"]})).expect("a key");
        assert_eq!(settings.origins, Some(vec!["*".to_owned()]));
        for (body, why) in [
            (json!({"name": 5}), "Missing required field: project"),
            (json!({"project": ""}), "1-100 characters"),
            (json!({"project": "web", "rate_limit": -1}), "rate_limit"),
        ] {
            assert!(
                read(body.clone()).is_err_and(|fault| fault.contains(why)),
                "{body}"
            );
        }
    }
}
