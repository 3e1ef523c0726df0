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

/// What of the values that a name has is secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Secrecy {
    #[default]
    Nothing,
    /// Texts, but not numbers: `tokens` are secrets here and a count there.
    Texts,
    Everything,
}

/// What of what is called `name` is likely to be a secret.
pub(super) fn secrecy(name: &str, place: Place) -> Secrecy {
    let mut lower = [0; 2 * JUDGED_BYTES];
    let words = split(name, &mut lower);
    let (mut secret, mut counted) = (false, false);
    let (mut previous, mut several) = ("", false);
    for word in words.split('_').filter(|word| !word.is_empty()) {
        secret = secret || is_secret_word(word, place) || is_secret_pair(previous, word, place);
        counted = counted || word.ends_with("tokens") && !is_of_models(previous);
        several = several || !previous.is_empty();
        previous = word;
    }
    let alone = !several
        && match previous {
            "pass" => true,
            "key" | "code" => place == Place::Url,
            _ => false,
        };
    match (alone, tells_about_it(previous)) {
        (true, _) => Secrecy::Everything,
        (false, false) if secret => Secrecy::Everything,
        (false, false) if counted => Secrecy::Texts,
        _ => Secrecy::Nothing,
    }
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
        "auth" | "authorization" | "bearer" | "credential" | "creds" | "csrf" | "cvc" | "cvv"
        | "jwt" | "otp" | "passcode" | "passphrase" | "passwd" | "pin" | "pwd" | "sid" | "ssn"
        | "xsrf" => true,
        "authentication" | "session" | "sig" | "signature" => place != Place::Data,
        // Of sign-ins by SAML, WS-Federation and CAS, and of signed addresses.
        "assertion" | "hmac" | "saml" | "samlart" | "samlrequest" | "samlresponse" | "ticket"
        | "wresult" => place == Place::Url,
        // Of a map; and counted as often as given.
        "pins" | "passwordless" => false,
        _ => {
            // Also written together, as in `phpsessid`, `accesstoken`, `dbpassword`.
            const ENDINGS: [&str; 19] = [
                "accesskey",
                "apikey",
                "appkey",
                "cardnumber",
                "ccnumber",
                "cookie",
                "creditcard",
                "hmackey",
                "passphrase",
                "passwd",
                "privatekey",
                "secret",
                "secretkey",
                "securitynumber",
                "sessid",
                "sessionid",
                "sessionkey",
                "signingkey",
                "token",
            ];
            let singular = word.strip_suffix('s').unwrap_or(word);
            let last = singular.as_bytes().last();
            word.len() >= "password".len() && word.contains("password")
                || word.starts_with("aspsessionid")
                || !word.ends_with("tokens")
                    // Nearly always the last letter tells that it is none of them.
                    && ENDINGS.iter().any(|ending| {
                        ending.as_bytes().last() == last && singular.ends_with(ending)
                    })
                || singular.len() < word.len() && is_secret_word_once(singular)
        }
    }
}

/// Whether the plural of `word` names secrets as well.
fn is_secret_word_once(word: &str) -> bool {
    matches!(
        word,
        "credential" | "cvc" | "cvv" | "jwt" | "otp" | "passcode" | "pwd" | "ssn"
    )
}

/// Whether so many tokens are what language models count, or what parsers know: `max_tokens`, `stop_tokens`.
fn is_of_models(before: &str) -> bool {
    matches!(
        before,
        "cached"
            | "completion"
            | "input"
            | "max"
            | "min"
            | "output"
            | "prompt"
            | "reasoning"
            | "special"
            | "stop"
            | "total"
    )
}

fn is_secret_pair(first: &str, second: &str, place: Place) -> bool {
    match second {
        "key" | "keys" => matches!(
            first,
            "access"
                | "account"
                | "aes"
                | "api"
                | "app"
                | "application"
                | "consumer"
                | "decryption"
                | "deploy"
                | "encryption"
                | "functions"
                | "hmac"
                | "license"
                | "master"
                | "private"
                | "rsa"
                | "server"
                | "session"
                | "shared"
                | "signing"
                | "ssh"
                | "ssl"
                | "subscription"
                | "tls"
        ),
        "number" | "numbers" | "no" | "num" => matches!(first, "card" | "cc"),
        "card" | "cards" => first == "credit",
        "code" | "codes" => matches!(first, "pass" | "security"),
        "security" => first == "social",
        "string" => first == "connection",
        // As one word or as two.
        "word" | "words" | "wd" => first == "pass",
        "phrase" | "phrases" => matches!(first, "pass" | "recovery" | "secret" | "seed"),
        "pass" => matches!(
            first,
            "admin"
                | "basic"
                | "db"
                | "email"
                | "ftp"
                | "ldap"
                | "login"
                | "mail"
                | "mysql"
                | "pg"
                | "proxy"
                | "redis"
                | "root"
                | "smtp"
                | "user"
        ),
        // Lists are filtered by the session that clients put into `extra`.
        "id" | "ids" => first == "session" && place != Place::Data,
        // The cookies of frameworks.
        "session" => matches!(
            first,
            "ci" | "django" | "flask" | "koa" | "laravel" | "net" | "play" | "rails" | "symfony"
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYWHERE: [Place; 3] = [Place::Data, Place::Header, Place::Url];

    fn is_secret(name: &str, place: Place) -> bool {
        secrecy(name, place) == Secrecy::Everything
    }

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
             keyboard monkey secretary spin tokens_used max_tokens tokenizer token_limits tokenized Idempotency-Key sort_key \
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
        check("key code", &[Place::Data, Place::Header], false);
        check("key code pass", &[Place::Url], true);
        check("error_code partition_key", &[Place::Url], false);
        let of_sign_ins =
            "ticket assertion SAMLResponse samlresponse RelaySAML client_assertion wresult hmac";
        check(of_sign_ins, &[Place::Url], true);
        check(of_sign_ins, &[Place::Data], false);
        check("ticket_type tickets assertions", &[Place::Url], false);
    }

    #[test]
    fn secrets_in_any_spelling() {
        check(
            "pass_phrase passPhrase Pass-Phrase PassPhrase pass_phrases PassWord passWord pass_word Pass-Word \
             user_pass_word newPassWords pass_code passCode PassWd PASS_WORD pass pass-phrase-1",
            &EVERYWHERE,
            true,
        );
        check(
            "passed passenger pass_rate passes pass_count passport pass_through word phrase key_phrase wordPass \
             password_length compassWords",
            &EVERYWHERE,
            false,
        );
    }

    #[test]
    fn more_names_of_secrets() {
        check(
            "app_key APP_KEY appKey hmac_key hmacKey laravel_session social_security_number socialSecurityNumber \
             ssn ssns cc_number ccNumber card_number cardNumber card_numbers cvv CVV2 cvvs x-functions-key seedPhrase \
             recovery_phrase api_keys apikeys privateKeys jwts credentials session_tokens_secret redis_pass",
            &EVERYWHERE,
            true,
        );
        check(
            "author authors monkey monkeys keyboard session_count token_count tokenizer passenger passed app_name \
             security_level social_network number card card_type phone_number case_number account_number_length keys \
             pins spins map_pins happy_keys donkey_key cookie_banner_total key_count laravel_version",
            &EVERYWHERE,
            false,
        );
        check("session_count checkout_session", &[Place::Data], false);
    }

    #[test]
    fn plurals_of_tokens_are_secrets_where_they_are_no_numbers() {
        for name in [
            "tokens",
            "access_tokens",
            "refreshTokens",
            "refresh-tokens",
            "authtokens",
            "X-Tokens",
        ] {
            for place in EVERYWHERE {
                assert_eq!(secrecy(name, place), Secrecy::Texts, "{name}");
            }
        }
        check("secrets passwords cookies api_keys", &EVERYWHERE, true);
        for name in [
            "max_tokens",
            "prompt_tokens",
            "tokens_used",
            "total_tokens",
            "stop_tokens",
        ] {
            assert_eq!(secrecy(name, Place::Data), Secrecy::Nothing, "{name}");
        }
    }

    #[test]
    fn long_names_are_judged_by_their_beginning() {
        let long = "a".repeat(100_000);
        check(&format!("{long}_token"), &EVERYWHERE, false);
        check(&"aB".repeat(100_000), &EVERYWHERE, false);
        check(&format!("token_{long}"), &EVERYWHERE, true);
        assert_eq!(secrecy("", Place::Data), Secrecy::Nothing);
    }
}
