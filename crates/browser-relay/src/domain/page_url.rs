//! Addresses of pages: what may be kept of them, and what pages are alike.

use super::percent;

/// Bytes of a page's pattern, as many as the collector keeps of a label. It stands in every metric of a batch, so a long
/// one would make megabytes of a small batch.
const LONGEST_PATTERN: usize = 500;
/// Hexadecimal digits, one of them a figure, that are taken for a hash.
const SHORTEST_HASH: usize = 8;
/// Letters and figures in a row that are taken for an id, with so many figures among them.
const SHORTEST_ID: usize = 16;
const FIGURES_OF_ID: usize = 3;
/// Figures behind a hyphen that are taken for a number, as in `order-1042`; fewer may be a part of a name.
const SHORTEST_TAIL: usize = 3;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Parts of names of secret parameters, and whole names.
const SECRET_PARTS: [&str; 15] = [
    "token",
    "secret",
    "passw",
    "passphr",
    "authoriz",
    "credential",
    "signature",
    "session",
    "apikey",
    "api_key",
    "api-key",
    "csrf",
    "xsrf",
    "oobcode",
    "samlresponse",
];
const SECRET_NAMES: [&str; 9] = [
    "key", "code", "pwd", "pass", "sig", "sid", "otp", "pin", "jwt",
];

/// Addresses within the parameters of addresses that are looked into, as in `?back=%2Flogin%3Fcode%3D…`.
const MOST_NESTED: usize = 3;

/// The path of a URL, without query and fragment; a text without a host is taken as a path.
pub(crate) fn path_of(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|slash| rest.get(slash..))
            .unwrap_or("/"),
        None => url,
    };
    if path.is_empty() { "/" } else { path }
}

/// What a path has in common with those of pages of its kind: numbers, UUIDs, hashes and ids become `:id`, `:uuid` and
/// `:hash`; parameters within the path (`/cart;jsessionid=…`) go. Cut when it is too long.
pub(crate) fn pattern(path: &str) -> String {
    let end = path.floor_char_boundary(LONGEST_PATTERN);
    let path = path.get(..end).unwrap_or_default();
    let mut out = String::with_capacity(path.len());
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        push_segment(&mut out, segment.split(';').next().unwrap_or_default());
    }
    out.truncate(out.floor_char_boundary(LONGEST_PATTERN));
    out
}

fn push_segment(out: &mut String, segment: &str) {
    let figures = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let numeric =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b',' | b':' | b'_');
    let is_hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_word = segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if figures(segment) == 0 {
        out.push_str(segment);
    } else if segment.bytes().all(numeric) {
        out.push_str(":id");
    } else if is_uuid(segment) {
        out.push_str(":uuid");
    } else if (is_hex && segment.len() >= SHORTEST_HASH)
        || (is_word && segment.len() >= SHORTEST_ID && figures(segment) >= FIGURES_OF_ID)
    {
        out.push_str(":hash");
    } else {
        let tail = segment.bytes().rev().take_while(u8::is_ascii_digit).count();
        match segment.split_at_checked(segment.len() - tail) {
            Some((name, _)) if tail >= SHORTEST_TAIL && name.ends_with(['-', '_']) => {
                out.push_str(name);
                out.push_str(":id");
            }
            _ => out.push_str(segment),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// A URL whose secrets are taken out: the values of parameters with such names, in the query and in the fragment, values
/// that are an encoded URL with such secrets, and a name and password before the host.
pub(crate) fn scrubbed(url: &str) -> String {
    scrubbed_to(url, MOST_NESTED)
}

fn scrubbed_to(url: &str, nested: usize) -> String {
    let mut out = String::with_capacity(url.len());
    let (address, parameters) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    push_address(&mut out, address);
    let mut rest = parameters;
    while let Some(mark) = rest.chars().next() {
        let after = rest.get(mark.len_utf8()..).unwrap_or_default();
        let end = after.find(['?', '#', '&', ';']).unwrap_or(after.len());
        let (parameter, next) = after.split_at(end);
        out.push(mark);
        match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && hides(name, value, nested) => {
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
            }
            _ => out.push_str(parameter),
        }
        rest = next;
    }
    out
}

/// Whether the value of a parameter is a secret or holds one.
fn hides(name: &str, value: &str, nested: usize) -> bool {
    let decoded = |text: &str| percent::decoded(text, |_| true);
    if is_secret(name) || decoded(name).is_some_and(|name| is_secret(&name)) {
        return true;
    }
    nested > 0 && decoded(value).is_some_and(|url| scrubbed_to(&url, nested - 1) != url)
}

fn push_address(out: &mut String, address: &str) {
    let host_begins = address
        .find("//")
        .map_or(address.len(), |slashes| slashes + 2);
    let (scheme, rest) = address.split_at(host_begins);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    out.push_str(scheme);
    match host.rsplit_once('@') {
        Some((_, host)) => {
            out.push_str(REDACTED);
            out.push('@');
            out.push_str(host);
        }
        None => out.push_str(host),
    }
    out.push_str(path);
}

fn is_secret(name: &str) -> bool {
    // A fragment may be a route with parameters of its own: `#/reset?token=…` was split there, `#/reset/token=…` was not.
    let name = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    // `auth` and `oauth_state`, not `author`.
    let is_auth = name.matches("auth").count() > name.matches("author").count();
    is_auth
        || SECRET_NAMES.contains(&name.as_str())
        || SECRET_PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        for (url, path) in [
            ("https://shop.example/cart?step=2#pay", "/cart"),
            ("https://shop.example", "/"),
            ("https://shop.example?back=/a", "/"),
            ("https://shop.example/#/route", "/"),
            ("", "/"),
            ("rel", "rel"),
            ("//host/p", "//host/p"),
            ("?q", "/"),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }

    #[test]
    fn patterns() {
        for (path, expected) in [
            ("/", "/"),
            ("/cart", "/cart"),
            ("/orders/1042", "/orders/:id"),
            ("/orders/1042/items/7/", "/orders/:id/items/:id/"),
            (
                "/blog/2024/05/01/top-10-tips",
                "/blog/:id/:id/:id/top-10-tips",
            ),
            ("/day/2024-05-01", "/day/:id"),
            ("/order-1042", "/order-:id"),
            ("/order_1042", "/order_:id"),
            ("/cart;jsessionid=1A2B/7;v=2", "/cart/:id"),
            ("/v2/mp3", "/v2/mp3"),
            (
                "/users/550e8400-E29B-41d4-a716-446655440000",
                "/users/:uuid",
            ),
            ("/commit/9fceb02d", "/commit/:hash"),
            ("/commit/facade", "/commit/facade"),
            ("/deadbeef", "/deadbeef"),
            ("/doc/507f1f77bcf86cd799439011", "/doc/:hash"),
            ("/x/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/x/:hash"),
            (
                "/how-to-migrate-from-version-2-to-3",
                "/how-to-migrate-from-version-2-to-3",
            ),
            ("rel/5", "rel/:id"),
            ("/caf\u{e9}/12", "/caf\u{e9}/:id"),
        ] {
            assert_eq!(pattern(path), expected, "{path}");
        }
        assert_eq!(pattern(&"\u{e9}".repeat(600)).len(), 500);
    }

    #[test]
    fn secrets() {
        for (url, expected) in [
            (
                "https://shop.example/cart?x=1#pay",
                "https://shop.example/cart?x=1#pay",
            ),
            (
                "https://a.example/r?token=abc&x=1",
                "https://a.example/r?token=[redacted]&x=1",
            ),
            (
                "https://a.example/r?x=1&API_Key=abc",
                "https://a.example/r?x=1&API_Key=[redacted]",
            ),
            (
                "https://a.example/#access_token=abc&state=1",
                "https://a.example/#access_token=[redacted]&state=1",
            ),
            (
                "https://a.example/#/reset?code=abc",
                "https://a.example/#/reset?code=[redacted]",
            ),
            (
                "https://a.example/#/reset/password=abc",
                "https://a.example/#/reset/password=[redacted]",
            ),
            (
                "https://bob:pw@a.example/x",
                "https://[redacted]@a.example/x",
            ),
            ("https://a.example/@bob/x", "https://a.example/@bob/x"),
            (
                "https://a.example/?author=bob&authorization=x",
                "https://a.example/?author=bob&authorization=[redacted]",
            ),
            (
                "https://a.example/?token=&monkey=1&key=2;sid=3",
                "https://a.example/?token=&monkey=1&key=[redacted];sid=[redacted]",
            ),
            ("/relative?pin=1234", "/relative?pin=[redacted]"),
            (
                "https://a.example/?tok%65n=abc&%78=1",
                "https://a.example/?tok%65n=[redacted]&%78=1",
            ),
            (
                "/login?back=https%3A%2F%2Fb.example%2F%3Fcode%3Dabc&next=%2Fcart%3Fx%3D1",
                "/login?back=[redacted]&next=%2Fcart%3Fx%3D1",
            ),
            (
                "/login?back=%2Fa%3Fb%3D%252Fc%253Fcode%253Dabc",
                "/login?back=[redacted]",
            ),
            ("/?u=https%3A%2F%2Fbob:pw@b.example", "/?u=[redacted]"),
            (
                "/?oobCode=abc&SAMLResponse=def",
                "/?oobCode=[redacted]&SAMLResponse=[redacted]",
            ),
            ("mailto:bob@mail.example", "mailto:bob@mail.example"),
            ("", ""),
        ] {
            assert_eq!(scrubbed(url), expected, "{url}");
        }
    }

    #[test]
    fn an_address_within_addresses_without_end_is_given_up() {
        let url = format!("/?a=%{}3Fcode%3D1", "25".repeat(30_000));
        assert_eq!(scrubbed(&url), url);
    }

    proptest! {
        #[test]
        fn what_has_no_secret_stays(url in "[a-z:/?#&;=.\u{e9} ]{0,60}") {
            let names = url.split(['?', '#', '&', ';', '=', '/']).map(str::to_owned);
            prop_assume!(!names.into_iter().any(|name| is_secret(&name)));
            prop_assert_eq!(scrubbed(&url), url);
        }

        #[test]
        fn scrubbing_again_changes_nothing(url in "(https?://)?([a-z]{1,5}(:[a-z]{1,3})?@)?[a-z.]{0,8}[/?#]((token|x|key|a)=[a-z]{0,4}[&;?#]?){0,5}") {
            let once = scrubbed(&url);
            prop_assert_eq!(scrubbed(&once), once);
        }

        #[test]
        fn patterns_are_bounded(path in ".{0,300}") {
            prop_assert!(pattern(&path).len() <= LONGEST_PATTERN);
        }
    }
}
