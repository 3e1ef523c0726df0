//! Conditions on the fields of structured lines: `field.status=500`, `field.path=/api/*`, `field.ms=>=250`.

use std::borrow::Cow;

use super::fields::{Field, KEY_BYTES, token};
use super::names;

/// The most conditions of one filter.
pub const MOST_TESTS: usize = 16;

/// What must hold for one field. An entry may have several of one name: the elements of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldTest {
    name: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// One of them has one of these values.
    OneOf(Vec<Value>),
    /// None of them has.
    NoneOf(Vec<Value>),
    /// One of them is a number that compares so.
    Compare(Comparison, f64),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// This text, as its word in the index.
    Word(String),
    /// Any text of this form, in lower case; `*` stands for any characters.
    Form(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Above,
    Least,
    Below,
    Most,
}

impl FieldTest {
    /// The conditions among the parameters of a query.
    ///
    /// `field.NAME=VALUE`, without regard to case; several of one name mean any of the values. `field.NAME!=VALUE` is
    /// the opposite. A `*` in a value stands for any characters. `>`, `>=`, `<`, `<=` in front of a number compare.
    ///
    /// # Errors
    /// What is wrong, in the form `name: what; what was expected`.
    pub fn parse<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Self>, String> {
        let mut tests: Vec<Self> = Vec::new();
        let given = parameters
            .filter_map(|(name, value)| Some((name.strip_prefix("field.")?, value)))
            .filter(|(_, value)| !value.is_empty());
        for (count, (name, value)) in given.enumerate() {
            if count == MOST_TESTS {
                return Err(format!(
                    "field.{name}: too many conditions; expected at most {MOST_TESTS}"
                ));
            }
            // `field.ms>=250` is cut at its `=`.
            let (name, sign) = match name.char_indices().next_back() {
                Some((at, sign @ ('!' | '<' | '>'))) => (name.get(..at).unwrap_or_default(), sign),
                _ => (name, '='),
            };
            if name.is_empty() || name.len() > KEY_BYTES {
                let shown: String = name.chars().take(KEY_BYTES).collect();
                return Err(format!(
                    "field.{shown}: no name of a field; expected 1 to {KEY_BYTES} bytes, as in field.status=500"
                ));
            }
            add(&mut tests, name, test(name, sign, value));
        }
        Ok(tests)
    }

    /// The words of the index that an entry must have one of (`true`) or none of (`false`); `None` when the index does
    /// not know enough.
    pub fn words(&self) -> Option<(bool, Vec<&str>)> {
        let (wanted, values) = match &self.test {
            Test::OneOf(values) => (true, values),
            Test::NoneOf(values) => (false, values),
            Test::Compare(..) => return None,
        };
        let words = values.iter().map(|value| match value {
            Value::Word(word) => Some(word.as_str()),
            Value::Form(_) => None,
        });
        Some((wanted, words.collect::<Option<_>>()?))
    }

    /// Whether it holds for an entry with these fields.
    pub fn holds(&self, fields: &[Field]) -> bool {
        let mut values = fields
            .iter()
            .filter(|field| lower_case(&field.key) == lower_case(&self.name))
            .map(|field| field.value.as_str());
        match &self.test {
            Test::OneOf(wanted) => values.any(|value| self.is_one_of(wanted, value)),
            Test::NoneOf(unwanted) => !values.any(|value| self.is_one_of(unwanted, value)),
            Test::Compare(comparison, bound) => values
                .filter_map(number)
                .any(|value| comparison.holds(value, *bound)),
        }
    }

    fn is_one_of(&self, wanted: &[Value], value: &str) -> bool {
        wanted.iter().any(|wanted| match wanted {
            Value::Word(word) => token(&self.name, value) == *word,
            Value::Form(form) => names::matches(form, &lower_case(value)),
        })
    }
}

/// Values of one name are alternatives; comparisons all have to hold.
fn add(tests: &mut Vec<FieldTest>, name: &str, test: Test) {
    for known in tests.iter_mut().filter(|known| known.name == name) {
        match (&mut known.test, &test) {
            (Test::OneOf(values), Test::OneOf(more))
            | (Test::NoneOf(values), Test::NoneOf(more)) => {
                values.extend_from_slice(more);
                return;
            }
            _ => {}
        }
    }
    tests.push(FieldTest {
        name: name.to_owned(),
        test,
    });
}

fn test(name: &str, sign: char, value: &str) -> Test {
    use Comparison::{Above, Below, Least, Most};
    let comparison = match sign {
        '>' => Some((Least, value)),
        '<' => Some((Most, value)),
        '=' => [(">=", Least), ("<=", Most), (">", Above), ("<", Below)]
            .into_iter()
            .find_map(|(sign, comparison)| Some((comparison, value.strip_prefix(sign)?))),
        _ => None,
    };
    if let Some((comparison, bound)) =
        comparison.and_then(|(comparison, bound)| Some((comparison, number(bound)?)))
    {
        return Test::Compare(comparison, bound);
    }
    let values = vec![if value.contains('*') {
        Value::Form(lower_case(value).into_owned())
    } else {
        Value::Word(token(name, value))
    }];
    if sign == '!' {
        Test::NoneOf(values)
    } else {
        Test::OneOf(values)
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Above => value > bound,
            Self::Least => value >= bound,
            Self::Below => value < bound,
            Self::Most => value <= bound,
        }
    }
}

/// Digits are asked for: `inf` and `nan` are names as well.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.bytes()
        .any(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields;

    const LINE: &str =
        r#"{"http":{"status":500,"path":"/Api/Items"},"ms":12.5,"tags":["a","B"],"msg":"x"}"#;

    fn tests(query: &str) -> Result<Vec<FieldTest>, String> {
        FieldTest::parse(query.split('&').filter_map(|pair| pair.split_once('=')))
    }

    #[track_caller]
    fn check(query: &str, expected: bool) {
        let fields = fields::parse(LINE);
        let words = fields::tokens(LINE).expect("has fields");
        for test in tests(query).expect(query) {
            assert_eq!(test.holds(&fields), expected, "{query}");
            if let Some((wanted, any_of)) = test.words() {
                let found = any_of
                    .iter()
                    .any(|word| words.split(' ').any(|known| known == *word));
                assert_eq!(found == wanted, expected, "{query} in the index");
            }
        }
    }

    #[test]
    fn values_forms_and_numbers() {
        for query in [
            "field.http.status=500",
            "field.HTTP.Status=500",
            "field.http.path=/api/items",
            "field.http.path=/api/*",
            "field.tags=b",
            "field.tags=a&field.tags=zzz",
            "field.tags!=c",
            "field.http.path!=/health*",
            "field.none!=x",
            "field.ms=>12",
            "field.ms>=12.5",
            "field.ms<=12.5",
            "field.ms=<1e3",
            "field.http.status=5*",
        ] {
            check(query, true);
        }
        for query in [
            "field.http.status=50",
            "field.status=500",
            "field.tags=c",
            "field.tags!=A",
            "field.tags!=z&field.tags!=a",
            "field.http.path!=/api/*",
            "field.none=x",
            "field.ms>=12.6",
            "field.ms=<12.5",
            "field.http.path=>1",
            "field.ms=>x",
        ] {
            check(query, false);
        }
    }

    #[test]
    fn conditions_are_counted_by_name() {
        let count = |query: &str| tests(query).map(|tests| tests.len());
        assert_eq!(count("field.a=1&field.a=2&field.b=1"), Ok(2));
        assert_eq!(count("field.a>=1&field.a<=2&field.a=x&field.a!=y"), Ok(4));
        assert_eq!(count("field.a=&other=1"), Ok(0));
        assert_eq!(tests("field.=1"), tests("field.!=1"));
        assert!(tests("field.=1").is_err_and(|fault| fault.starts_with("field.: no name")));
        let long = format!("field.{}=1", "x".repeat(KEY_BYTES + 1));
        assert!(tests(&long).is_err());
        let many = vec!["field.a=1"; MOST_TESTS + 1].join("&");
        assert!(tests(&many).is_err_and(|fault| fault.contains("at most 16")));
    }
}
