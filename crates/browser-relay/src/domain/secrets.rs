//! What in an address is likely to be a secret: parameters by their names, and texts by their shape.
//!
//! The names are those that error trackers filter by default, and what addresses carry for others to be trusted: answers
//! of OAuth 2.0, `OpenID` Connect, SAML and CAS, presigned URLs of object stores and content networks, links that sign
//! somebody in, confirm an address or end a subscription.

/// A longer name is judged by its beginning.
const JUDGED_BYTES: usize = 128;
/// Characters of a text that may be a secret in a path, and of one in a parameter.
pub(super) const LONG: usize = 32;
pub(super) const SHORT: usize = 16;

/// Whether the value of a parameter is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    No,
    /// If it looks like one.
    IfRandom,
    Yes,
}

/// Parts of names, written without hyphens and the like.
const PARTS: [&str; 27] = [
    "authoriz",
    "token",
    "secret",
    "passw",
    "passphr",
    "passcode",
    "passkey",
    "pwd",
    "credential",
    "signature",
    "session",
    "sessid",
    "apikey",
    "accesskey",
    "privatekey",
    "csrf",
    "xsrf",
    "oobcode",
    "saml",
    "assertion",
    "bearer",
    "cookie",
    "captcha",
    "cardnumber",
    "ccnumber",
    "creditcard",
    "jwt",
];
/// What names end with.
const ENDINGS: [&str; 18] = [
    "ticket",
    "cvc",
    "cvv",
    "otp",
    "sig",
    "nonce",
    "hmac",
    "creds",
    "verifier",
    "accessid",
    "accountkey",
    "appkey",
    "masterkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "subscriptionkey",
    "licensekey",
];
const NAMES: [&str; 17] = [
    "key",
    "code",
    "pass",
    "sid",
    "connectsid",
    "pin",
    "csc",
    "ssn",
    "wresult",
    "pgtid",
    "pgtiou",
    "clerkhandshake",
    "cfchltk",
    "hdnts",
    "hdnea",
    "hdntl",
    "gda",
];
/// What kinds of `…code` are secrets, as in `verification_code`; `promo_code` is none.
const CODES: [&str; 13] = [
    "access", "activ", "backup", "confirm", "device", "invit", "login", "mfa", "recover", "reset",
    "sms", "user", "verif",
];
/// Names of parameters that come with the `state` of OAuth.
const OF_SIGN_IN: [&str; 6] = [
    "code",
    "idtoken",
    "accesstoken",
    "clientid",
    "responsetype",
    "redirecturi",
];
/// How words begin that stand before secrets in paths, and that name parameters which may hold some.
const BEFORE_SECRETS: [&str; 16] = [
    "activat",
    "confirm",
    "forgot",
    "invit",
    "login",
    "magic",
    "onetime",
    "optout",
    "passw",
    "recover",
    "reset",
    "signin",
    "signup",
    "token",
    "unsubscri",
    "verif",
];

/// Judges the name of a parameter. `signs_in`: it stands among [those of OAuth](is_of_sign_in).
pub(super) fn secrecy(name: &str, signs_in: bool) -> Secrecy {
    let name = plain(name);
    let name = name.as_str();
    // `auth` and `oauth_state`, not `author`.
    let is_auth = name.matches("auth").count() > name.matches("author").count();
    let is_code = || {
        let kind = name.strip_suffix("code");
        kind.is_some_and(|kind| CODES.iter().any(|known| kind.starts_with(known)))
    };
    if is_auth
        || NAMES.contains(&name)
        || PARTS.iter().any(|part| name.contains(part))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || is_code()
        || name == "state" && signs_in
    {
        return Secrecy::Yes;
    }
    let may_be = matches!(name, "state" | "hash")
        || BEFORE_SECRETS.iter().any(|word| name.starts_with(word));
    if may_be {
        Secrecy::IfRandom
    } else {
        Secrecy::No
    }
}

/// Whether a parameter of this name belongs to a sign-in by OAuth.
pub(super) fn is_of_sign_in(name: &str) -> bool {
    OF_SIGN_IN.contains(&plain(name).as_str())
}

/// A name in lower case, with nothing but letters and digits: `API-Key`, `api_key` and `card[number]` are spelled in many
/// ways. Of a route with parameters of its own (`#/reset/token=…`) what is behind the last slash.
fn plain(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or_default();
    let bytes = name.bytes().take(JUDGED_BYTES);
    bytes
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// Whether a part of a path says that a secret may follow: one of its words, however they are put together
/// (`password-reset`, `resetPassword`), begins as such words do.
pub(super) fn announces_secret(part: &str) -> bool {
    let bytes = part.as_bytes();
    let mut before = b'-';
    for (at, byte) in bytes.iter().copied().enumerate() {
        let begins = byte.is_ascii_alphanumeric()
            && (!before.is_ascii_alphanumeric()
                || before.is_ascii_lowercase() && byte.is_ascii_uppercase());
        before = byte;
        let is_such = |word: &&str| {
            let begin = bytes.get(at..at + word.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
        };
        if begins && BEFORE_SECRETS.iter().any(is_such) {
            return true;
        }
    }
    false
}

/// Whether a text looks as if it was drawn, not written: at least `least` characters of hexadecimal digits, base64 or
/// base64url, a UUID among them, an eighth of them digits, or an eighth capitals and an eighth small letters, and not more
/// than an eighth other signs.
pub(super) fn is_random(text: &str, least: usize) -> bool {
    if text.len() < least {
        return false;
    }
    let (mut digits, mut upper, mut lower, mut others) = (0, 0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'A'..=b'Z' => upper += 1,
            b'a'..=b'z' => lower += 1,
            // `%` of signs that are percent-encoded.
            b'-' | b'_' | b'.' | b'~' | b'+' | b'=' | b'%' => others += 1,
            _ => return false,
        }
    }
    let is_many = |count: usize| count * 8 >= text.len();
    others * 8 <= text.len() && (is_many(digits) || is_many(upper) && is_many(lower))
}

/// Whether a text holds a JSON Web Token (RFC 7519): parts of base64url between dots, the first of which begins as the
/// base64 of `{"` does.
pub(super) fn holds_jwt(text: &str) -> bool {
    let is_of_token = |byte: char| byte.is_ascii_alphanumeric() || matches!(byte, '-' | '_' | '.');
    text.split(|byte| !is_of_token(byte)).any(|run| {
        let mut parts = run.split('.');
        parts.any(|part| part.starts_with("eyJ")) && parts.count() >= 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "password",
            "passwd",
            "passWord",
            "secret",
            "api_key",
            "API-Key",
            "x-api-key",
            "apikey",
            "auth",
            "authorization",
            "credentials",
            "mysql_pwd",
            "privatekey",
            "private_key",
            "token",
            "stripetoken",
            "bearer",
            "csrfmiddlewaretoken",
            "_csrf",
            "_xsrf",
            "XSRF-TOKEN",
            "PHPSESSID",
            "connect.sid",
            "cookie",
            "card[number]",
            "cvc",
            "access_token",
            "id_token",
            "refresh_token",
            "code",
            "code_verifier",
            "client_secret",
            "client_assertion",
            "assertion",
            "nonce",
            "_wpnonce",
            "id_token_hint",
            "user_code",
            "device_code",
            "oauth_verifier",
            "SAMLResponse",
            "SAMLRequest",
            "SAMLart",
            "wresult",
            "ticket",
            "pgtIou",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "AWSAccessKeyId",
            "Signature",
            "X-Goog-Signature",
            "X-Goog-Credential",
            "GoogleAccessId",
            "OSSAccessKeyId",
            "sig",
            "openid.sig",
            "hmac",
            "hdnts",
            "__gda__",
            "oobCode",
            "__clerk_ticket",
            "__clerk_db_jwt",
            "token_hash",
            "totp",
            "g-recaptcha-response",
            "verification_code",
            "reset_code",
            "jwt",
            "/reset/token",
            "AccountKey",
            "subscription-key",
        ] {
            assert_eq!(secrecy(name, false), Secrecy::Yes, "{name}");
        }
        for name in [
            "",
            "author",
            "authority",
            "monkey",
            "q",
            "page",
            "country_code",
            "promo_code",
            "postcode",
            "X-Amz-Date",
            "X-Amz-Expires",
            "se",
            "sp",
            "sv",
            "id",
            "keyword",
            "spin",
            "utm_source",
            "design",
            "config",
            "monster",
            "caf\u{e9}",
            "\u{e9}",
        ] {
            assert_eq!(secrecy(name, true), Secrecy::No, "{name}");
        }
        for name in [
            "invite",
            "magic_link",
            "hash",
            "state",
            "confirm",
            "unsubscribe",
        ] {
            assert_eq!(secrecy(name, false), Secrecy::IfRandom, "{name}");
        }
        assert_eq!(secrecy("state", true), Secrecy::Yes);
        assert!(is_of_sign_in("redirect_uri") && !is_of_sign_in("state"));
    }

    #[test]
    fn words_before_secrets() {
        for part in [
            "reset",
            "password-reset",
            "resetPassword",
            "verify_email",
            "Verification",
            "invitations",
            "magic-link",
            "unsubscribe",
            "activate",
            "confirm",
            "token",
        ] {
            assert!(announces_secret(part), "{part}");
        }
        for part in [
            "",
            "presets",
            "orders",
            "reses",
            "\u{e9}",
            "re",
            "preconfirm",
        ] {
            assert!(!announces_secret(part), "{part}");
        }
    }

    #[test]
    fn random_texts() {
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "550e8400-e29b-41d4-a716-446655440000",
            "c5x9zk-0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d",
            "kZ8vQ2xYt3WnB7cD-eF5gH_jK1mN4pR6sT9uV0wX",
            "bXktc2VjcmV0LXRva2VuLXRoYXQtaXM%3D",
            "QWxhZGRpbjpvcGVuIHNlc2FtZSBhbmQgbW9yZQ==",
        ] {
            assert!(is_random(text, LONG), "{text}");
        }
        for text in [
            "9f86d081884c7d659a2feaa0c55ad01",
            "how-to-migrate-from-version-2-to-version-3",
            "How-To-Reset-Your-Password-Now-Please",
            "Donaudampfschifffahrtsgesellschaft",
            "%D0%BA%D0%B0%D0%BA-%D0%B8-%D0%B3%D0%B4%D0%B5",
            "9f86d081884c7d65 9a2feaa0c55ad015",
            "",
        ] {
            assert!(!is_random(text, LONG), "{text}");
        }
        assert!(is_random("8f14e45fceea167a", SHORT));
        assert!(!is_random("confirmation-page", SHORT));
    }

    #[test]
    fn tokens_by_their_shape() {
        let jwt =
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        for text in [
            jwt,
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x",
            "v1.eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x",
        ] {
            assert!(holds_jwt(text), "{text}");
        }
        for text in ["", "eyJ", "eyJ.x", "eyJx y.z.w", "heyJ.a.b", "a.b.c"] {
            assert!(!holds_jwt(text), "{text}");
        }
    }
}
