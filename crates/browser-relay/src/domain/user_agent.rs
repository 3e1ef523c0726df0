//! What a browser says about itself in its user agent: name and version, operating system, class of device.
//!
//! User agents lie by tradition: nearly all claim to be Mozilla, and most to be Safari. So the tables below go from the
//! rare to the common, and the first entry that fits wins. Versions that browsers have frozen (Windows 10, macOS 10.15) are
//! left out rather than told wrongly. Names are those of the tables, so that whatever is sent, few different ones come out.

/// Bytes that are looked at.
const LONGEST: usize = 512;
/// Digits of a version.
const MOST_DIGITS: usize = 5;

/// What is known about a browser.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) browser: Option<&'static str>,
    /// The first number of it.
    pub(crate) browser_version: Option<String>,
    pub(crate) os: Option<&'static str>,
    /// The first number of it, or as Windows counts.
    pub(crate) os_version: Option<String>,
    /// `desktop`, `mobile`, `tablet`, `tv` or `bot`.
    pub(crate) device: Option<&'static str>,
}

/// Marks of browsers; the version follows the mark.
const BROWSERS: [(&str, &str); 31] = [
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Opera Mini/", "Opera Mini"),
    ("Opera/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("Vivaldi/", "Vivaldi"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("UCBrowser/", "UC Browser"),
    ("MiuiBrowser/", "Miui Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("Whale/", "Whale"),
    ("Silk/", "Silk"),
    ("GSA/", "Google App"),
    ("FBAV/", "Facebook"),
    ("Instagram ", "Instagram"),
    ("Electron/", "Electron"),
    ("HeadlessChrome/", "Headless Chrome"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chrome"),
    ("MSIE ", "Internet Explorer"),
    ("rv:", "Internet Explorer"),
];

/// Marks of operating systems; a version follows where the mark ends in a blank.
const SYSTEMS: [(&str, &str); 16] = [
    ("Windows Phone ", "Windows Phone"),
    ("Windows NT ", "Windows"),
    ("Windows", "Windows"),
    ("iPad", "iPadOS"),
    ("iPhone", "iOS"),
    ("iPod", "iOS"),
    ("OpenHarmony", "HarmonyOS"),
    ("Android ", "Android"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("KAIOS/", "KaiOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("BSD", "BSD"),
];

const BOTS: [&str; 11] = [
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "lighthouse",
    "headlesschrome",
    "phantomjs",
    "google-inspectiontool",
    "google-read-aloud",
    "page speed insights",
    "ptst/",
];
/// `aft` begins the names of Fire TVs, `crkey` is Chromecast.
const TELEVISIONS: [&str; 9] = [
    "smart-tv",
    "smarttv",
    "appletv",
    "googletv",
    "androidtv",
    "web0s",
    "bravia",
    "; aft",
    "crkey/",
];

impl Client {
    /// Reads a user agent; what it does not know stays none.
    pub(crate) fn of(user_agent: &str) -> Self {
        let end = user_agent.floor_char_boundary(LONGEST);
        let text = user_agent.get(..end).unwrap_or_default();
        let (browser, browser_version) = browser(text);
        let (os, os_version) = system(text);
        Self {
            browser,
            browser_version,
            os,
            os_version,
            device: device(text, os),
        }
    }
}

type Named = (Option<&'static str>, Option<String>);

fn browser(text: &str) -> Named {
    let webview = text.contains("; wv)") && text.contains("Chrome/");
    for (mark, name) in BROWSERS {
        let Some((_, rest)) = text.split_once(mark) else {
            continue;
        };
        // What only looks like one: `rv:` is Internet Explorer's beside Trident.
        if mark == "rv:" && !text.contains("Trident/") {
            continue;
        }
        let name = if webview && name == "Chrome" {
            "Android WebView"
        } else {
            name
        };
        // Opera has said 9.80 since its tenth version, and the true one behind.
        let version = match rest.split_once("Version/") {
            Some((_, version)) if mark == "Opera/" => version,
            _ => rest,
        };
        return (Some(name), first_number(version));
    }
    let apple = text.contains("AppleWebKit/");
    match text.split_once("Version/") {
        Some((_, rest)) if apple && text.contains("Safari/") => {
            (Some("Safari"), first_number(rest))
        }
        _ if apple && text.contains("like Mac OS X") => (Some("iOS WebView"), None),
        _ => (None, None),
    }
}

fn system(text: &str) -> Named {
    let found = SYSTEMS.iter().find(|(mark, _)| text.contains(mark));
    let Some((mark, name)) = found else {
        return (None, None);
    };
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    let version = match *name {
        "Windows" => after("Windows NT ").and_then(windows),
        // `CPU iPhone OS 17_4 like Mac OS X`, `CPU OS 17_4 like Mac OS X`
        "iOS" | "iPadOS" => after(" OS ").and_then(first_number),
        "Android" | "Windows Phone" if mark.ends_with(' ') => after(mark).and_then(first_number),
        _ => None,
    };
    (Some(name), version)
}

/// Windows 11 says 10, too.
fn windows(kernel: &str) -> Option<String> {
    let version = match kernel.get(..3)? {
        "6.3" => "8.1",
        "6.2" => "8",
        "6.1" => "7",
        "6.0" => "Vista",
        "5.1" | "5.2" => "XP",
        _ => return None,
    };
    Some(version.to_owned())
}

fn device(text: &str, os: Option<&'static str>) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let has = |marks: &[&str]| marks.iter().any(|mark| lower.contains(mark));
    if has(&BOTS) || has_bot(&lower) {
        return Some("bot");
    }
    if has(&TELEVISIONS) {
        return Some("tv");
    }
    let mobile = ["Mobile", "Opera Mini/", "Opera Mobi/"]
        .iter()
        .any(|mark| text.contains(mark));
    // Internet Explorer says `Tablet PC` on any Windows that could be one.
    let tablet = has(&["ipad"]) || (has(&["tablet"]) && os != Some("Windows"));
    if tablet || (os == Some("Android") && !mobile) {
        return Some("tablet");
    }
    match os? {
        _ if mobile => Some("mobile"),
        "iOS" | "Windows Phone" | "KaiOS" => Some("mobile"),
        "Windows" | "macOS" | "Linux" | "ChromeOS" | "BSD" => Some("desktop"),
        _ => None,
    }
}

/// Whether a word ends in `bot`, other than that of a maker of phones.
fn has_bot(lower: &str) -> bool {
    lower
        .split(|character: char| !character.is_ascii_alphanumeric())
        .any(|word| word.ends_with("bot") && word != "cubot")
}

fn first_number(text: &str) -> Option<String> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    (1..=MOST_DIGITS).contains(&digits.len()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Browser, its version, system, its version, device; `-` for what is not known.
    #[track_caller]
    fn check(user_agent: &str, expected: [&str; 5]) {
        let client = Client::of(user_agent);
        let version = |version: &Option<String>| version.clone().unwrap_or("-".to_owned());
        let seen = [
            client.browser.unwrap_or("-").to_owned(),
            version(&client.browser_version),
            client.os.unwrap_or("-").to_owned(),
            version(&client.os_version),
            client.device.unwrap_or("-").to_owned(),
        ];
        assert_eq!(seen, expected, "{user_agent}");
    }

    const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";

    #[test]
    fn desktops() {
        check(
            &format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36"
            ),
            ["Chrome", "126", "Windows", "-", "desktop"],
        );
        check(
            &format!(
                "Mozilla/5.0 (Windows NT 6.1; Win64; x64) {WEBKIT} Chrome/109.0.0.0 Safari/537.36 Edg/109.0.1518.78"
            ),
            ["Edge", "109", "Windows", "7", "desktop"],
        );
        check(
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            ["Firefox", "127", "Linux", "-", "desktop"],
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            ["Safari", "17", "macOS", "-", "desktop"],
        );
        check(
            &format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0"
            ),
            ["Opera", "111", "macOS", "-", "desktop"],
        );
        check(
            &format!(
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36"
            ),
            ["Chrome", "126", "ChromeOS", "-", "desktop"],
        );
        check(
            "Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; rv:11.0) like Gecko",
            ["Internet Explorer", "11", "Windows", "8.1", "desktop"],
        );
        check(
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)",
            ["Internet Explorer", "8", "Windows", "XP", "desktop"],
        );
    }

    #[test]
    fn phones_and_tablets() {
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            ["Safari", "17", "iOS", "17", "mobile"],
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
            ["Chrome", "126", "iOS", "16", "mobile"],
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 15_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            ["iOS WebView", "-", "iOS", "15", "mobile"],
        );
        check(
            "Mozilla/5.0 (iPad; CPU OS 14_8 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/14.1 Mobile/15E148 Safari/604.1",
            ["Safari", "14", "iPadOS", "14", "tablet"],
        );
        check(
            &format!(
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/126.0.6478.71 Mobile Safari/537.36"
            ),
            ["Chrome", "126", "Android", "14", "mobile"],
        );
        check(
            &format!(
                "Mozilla/5.0 (Linux; Android 13; SM-X906B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Safari/537.36"
            ),
            ["Samsung Internet", "25", "Android", "13", "tablet"],
        );
        check(
            &format!(
                "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20; wv) {WEBKIT} Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36"
            ),
            ["Android WebView", "126", "Android", "12", "mobile"],
        );
        check(
            "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
            ["Firefox", "127", "Android", "14", "mobile"],
        );
    }

    #[test]
    fn what_is_easily_taken_for_something_else() {
        check(
            "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; en) Presto/2.12.423 Version/12.16",
            ["Opera Mini", "36", "Android", "-", "mobile"],
        );
        check(
            "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
            ["Opera", "12", "Windows", "7", "desktop"],
        );
        check(
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko",
            ["Internet Explorer", "11", "Windows", "-", "desktop"],
        );
        check(
            "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile",
            ["Chrome", "114", "HarmonyOS", "-", "mobile"],
        );
        check(
            "Mozilla/5.0 (Android 13; Tablet; rv:126.0) Gecko/126.0 Firefox/126.0",
            ["Firefox", "126", "Android", "13", "tablet"],
        );
    }

    #[test]
    fn bots_televisions_and_junk() {
        check(
            &format!(
                "Mozilla/5.0 {WEBKIT}; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/126.0.0.0 Safari/537.36"
            ),
            ["Chrome", "126", "-", "-", "bot"],
        );
        check(
            &format!(
                "Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/126.0.0.0 Safari/537.36"
            ),
            ["Headless Chrome", "126", "Linux", "-", "bot"],
        );
        check(
            "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36",
            ["-", "-", "Tizen", "-", "tv"],
        );
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Linux; Android 5.1; AFTT Build/LVY48F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36",
                ["Android WebView", "70", "Android", "5", "tv"],
            ),
            (
                "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56.500000",
                ["Chrome", "90", "Linux", "-", "tv"],
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 PTST/240",
                ["Chrome", "126", "Linux", "-", "bot"],
            ),
            (
                "Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)",
                ["-", "-", "-", "-", "bot"],
            ),
        ] {
            check(agent, expected);
        }
        check("curl/8.5.0", ["-", "-", "-", "-", "-"]);
        check("", ["-", "-", "-", "-", "-"]);
        check("Chrome/", ["Chrome", "-", "-", "-", "-"]);
        check("Chrome/1234567", ["Chrome", "-", "-", "-", "-"]);
        check(
            &format!("{}Firefox/1", "x".repeat(600)),
            ["-", "-", "-", "-", "-"],
        );
    }

    proptest! {
        #[test]
        fn nothing_upsets_it(parts in prop::collection::vec(prop_oneof![
            Just("Windows NT "), Just("Version/"), Just("Safari/"), Just("AppleWebKit/"), Just("OS "), Just("6."), Just("\u{e9}"),
            Just("Android "), Just("rv:"), Just("12"), Just(" "), Just("; wv)")], 0..12)) {
            let client = Client::of(&parts.concat());
            prop_assert!(client.browser_version.is_none_or(|version| version.len() <= MOST_DIGITS));
        }
    }
}
