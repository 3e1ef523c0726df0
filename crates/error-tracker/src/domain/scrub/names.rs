//! Names whose values are secrets.
//!
//! Names are compared word by word, however they are spelled: `X-Auth-Token`, `authToken` and `auth_token` hold the word
//! `token`; `author`, `max_tokens` and `keyboard` hold none of these.

/// Where a name stands. Some words mean a secret only in some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of `extra` or of tags.
    Data,
    /// The name of a request header.
    Header,
    /// The name of a parameter in a URL.
    Url,
}

/// A longer name is judged by its beginning.
const JUDGED_BYTES: usize = 128;

/// Whether what is called `name` is likely to be a secret.
pub(super) fn is_secret(name: &str, place: Place) -> bool {
    let mut lower = [0; 2 * JUDGED_BYTES];
    let words = split(name, &mut lower);
    let (mut secret, mut previous, mut several) = (false, "", false);
    for word in words.split('_').filter(|word| !word.is_empty()) {
        secret = secret || is_secret_word(word, place) || is_secret_pair(previous, word, place);
        several = several || !previous.is_empty();
        previous = word;
    }
    let alone = !several && place == Place::Url && matches!(previous, "key" | "code" | "pass");
    alone || secret && !tells_about_it(previous)
}

/// The words of a name in lower case with a `_` before each. Digits and all that is no ASCII letter separate them, and so
/// does a change of case as in `authToken` and `APIKey`.
fn split<'b>(name: &str, lower: &'b mut [u8; 2 * JUDGED_BYTES]) -> &'b str {
    let name = name.as_bytes();
    let mut length = 0;
    let mut before = b'_';
    for (at, byte) in name.iter().copied().take(JUDGED_BYTES).enumerate() {
        let next_is_lower = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let begins = match byte {
            b'A'..=b'Z' => {
                before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_is_lower
            }
            _ => false,
        };
        let separates = !byte.is_ascii_alphabetic();
        if (begins || separates) && length > 0 {
            lower[length] = b'_';
            length += 1;
        }
        if !separates {
            lower[length] = byte.to_ascii_lowercase();
            length += 1;
        }
        before = byte;
    }
    // Only ASCII was written.
    str::from_utf8(&lower[..length]).unwrap_or_default()
}

fn is_secret_word(word: &str, place: Place) -> bool {
    match word {
        "auth" | "authorization" | "bearer" | "cookie" | "cookies" | "credential"
        | "credentials" | "creds" | "csrf" | "cvc" | "cvv" | "jwt" | "otp" | "passcode"
        | "passphrase" | "passwd" | "password" | "passwords" | "pin" | "pwd" | "secret"
        | "secrets" | "sid" | "ssn" | "token" | "xsrf" => true,
        "authentication" | "session" | "sig" | "signature" => place != Place::Data,
        "passwordless" => false,
        _ => {
            // Written together, as in `phpsessid`, `accesstoken`, `dbpassword`.
            const ENDINGS: [&str; 14] = [
                "accesskey",
                "apikey",
                "apikeys",
                "cardnumber",
                "cookie",
                "creditcard",
                "passwd",
                "privatekey",
                "secret",
                "secretkey",
                "sessid",
                "sessionid",
                "sessionkey",
                "token",
            ];
            word.len() > 5
                && (ENDINGS.iter().any(|ending| word.ends_with(ending))
                    || word.contains("password")
                    || word.starts_with("aspsessionid"))
        }
    }
}

fn is_secret_pair(first: &str, second: &str, place: Place) -> bool {
    match second {
        "key" | "keys" => matches!(
            first,
            "access"
                | "account"
                | "api"
                | "deploy"
                | "encryption"
                | "license"
                | "master"
                | "private"
                | "session"
                | "shared"
                | "signing"
                | "ssh"
        ),
        "number" | "no" => first == "card",
        "card" => first == "credit",
        "code" => first == "security",
        "string" => first == "connection",
        "pass" => matches!(
            first,
            "admin" | "basic" | "db" | "ftp" | "mail" | "root" | "smtp" | "user"
        ),
        // Lists are filtered by the session that clients put into `extra`.
        "id" => first == "session" && place != Place::Data,
        "session" => first == "net",
        _ => false,
    }
}

/// Whether a name that ends so tells something about a secret instead of holding it: `token_type`, `password_changed_at`.
fn tells_about_it(last: &str) -> bool {
    matches!(
        last,
        "age"
            | "at"
            | "attempts"
            | "budget"
            | "changed"
            | "consent"
            | "count"
            | "counts"
            | "disabled"
            | "duration"
            | "enabled"
            | "endpoint"
            | "error"
            | "errors"
            | "expiration"
            | "expired"
            | "expires"
            | "expiry"
            | "failed"
            | "failures"
            | "flow"
            | "format"
            | "length"
            | "limit"
            | "limits"
            | "method"
            | "methods"
            | "mode"
            | "policy"
            | "present"
            | "provider"
            | "remaining"
            | "required"
            | "scheme"
            | "size"
            | "status"
            | "strength"
            | "timeout"
            | "total"
            | "ttl"
            | "type"
            | "types"
            | "updated"
            | "usage"
            | "used"
            | "valid"
            | "version"
    )
}

/// A name that the operator added: exact, or with a `*` at its beginning or end for anything.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    open_start: bool,
    open_end: bool,
}

impl Pattern {
    /// `None` when there is nothing to compare.
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let (open_start, open_end) = (text.starts_with('*'), text.ends_with('*'));
        let inner = text.trim_matches('*').to_lowercase();
        (!text.is_empty()).then_some(Self {
            text: inner,
            open_start,
            open_end,
        })
    }

    /// `name` in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => name == self.text,
            (false, true) => name.starts_with(&self.text),
            (true, false) => name.ends_with(&self.text),
            (true, true) => name.contains(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYWHERE: [Place; 3] = [Place::Data, Place::Header, Place::Url];

    #[track_caller]
    fn check(names: &str, places: &[Place], expected: bool) {
        for name in names.split_whitespace() {
            for place in places {
                assert_eq!(is_secret(name, *place), expected, "{name} as {place:?}");
            }
        }
    }

    #[test]
    fn names_of_secrets() {
        check(
            "Authorization Proxy-Authorization Cookie Set-Cookie X-API-Key X-Auth-Token X-CSRFToken \
             X-Amz-Security-Token Cf-Access-Jwt-Assertion password user_password passwordConfirm DB_PASSWD pwd \
             client_secret apiKey api_key APIKEY APIKey accessToken refresh-token id_token token privateKey \
             aws_secret_access_key sid cardNumber auth cvv JWT pin ssn credential dbCredentials sessionid PHPSESSID \
             connect.sid JSESSIONID ASP.NET_SessionId ASPSESSIONIDQSDTRQBS next-auth.session-token \
             csrfmiddlewaretoken X-XSRF-TOKEN dbpassword passwordHash accesstoken clientsecret oauth2_token smtp_pass \
             connectionString user[password] session_key x.api.keys ssh_key credit_card password1 HTTP_AUTHORIZATION \
             _token token_",
            &EVERYWHERE,
            true,
        );
    }

    #[test]
    fn harmless_names() {
        check(
            "Accept Host User-Agent X-Request-Id Sec-WebSocket-Key Referer author authority authorName authenticated \
             keyboard monkey secretary spin tokens_used max_tokens tokens tokenizer Idempotency-Key sort_key \
             public_key cache_key primaryKey é _ 123 token_type token_count passwordChangedAt cookie_consent \
             password_required passwordless_login passenger compass bypass first_pass design assign sides resident \
             pinned shipping discard_number barcode zip_code X-Forwarded-For WWW-Authenticate",
            &EVERYWHERE,
            false,
        );
    }

    #[test]
    fn some_names_depend_on_their_place() {
        let names = "session session_id sessionId X-Session-ID sig X-Hub-Signature-256";
        check(names, &[Place::Data], false);
        check(names, &[Place::Header, Place::Url], true);
        check("key code pass", &[Place::Data, Place::Header], false);
        check("key code pass", &[Place::Url], true);
        check("error_code partition_key", &[Place::Url], false);
    }

    #[test]
    fn long_names_are_judged_by_their_beginning() {
        let long = "a".repeat(100_000);
        check(&format!("{long}_token"), &EVERYWHERE, false);
        check(&"aB".repeat(100_000), &EVERYWHERE, false);
        check(&format!("token_{long}"), &EVERYWHERE, true);
        assert!(!is_secret("", Place::Data));
    }

    #[test]
    fn patterns_are_exact_or_open() {
        #[track_caller]
        fn check(pattern: &str, name: &str, expected: bool) {
            let pattern = Pattern::new(pattern).expect("not empty");
            assert_eq!(
                pattern.matches(&name.to_lowercase()),
                expected,
                "{pattern:?} {name}"
            );
        }
        check(" IBAN ", "iban", true);
        check("iban", "my_iban", false);
        check("customer_*", "Customer_Name", true);
        check("customer_*", "a_customer_name", false);
        check("*_iban", "my_IBAN", true);
        check("*_iban", "my_iban_2", false);
        check("*iban*", "my_iban_2", true);
        check("*", "anything", true);
        check("Größe", "GRÖSSE", false);
        check("Größe", "größe", true);
        assert!(Pattern::new("  ").is_none());
    }
}
