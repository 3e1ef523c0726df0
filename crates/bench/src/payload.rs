//! What is sent: the same bytes in every run, made by a small generator with a fixed seed.

use std::fmt::Write as _;

/// Numbers that look random and are the same in every run (xorshift64*, Marsaglia 2003 and Vigna 2014).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

const WORDS: [&str; 24] = [
    "order",
    "payment",
    "customer",
    "session",
    "checkout",
    "request",
    "timeout",
    "connection",
    "retry",
    "cache",
    "worker",
    "queue",
    "stock",
    "invoice",
    "shipping",
    "address",
    "token",
    "database",
    "upstream",
    "gateway",
    "basket",
    "voucher",
    "refund",
    "email",
];

/// Error reports of about 2 KB, `groups` different ones.
pub(crate) fn reports(groups: usize) -> Vec<String> {
    let report = |group: usize| {
        let mut traceback = frames(group, 12, 10 + group);
        let _ = writeln!(traceback, "ValueError: order {group} cannot be paid");
        serde_json::json!({
            "project": format!("shop-{}", group % 5),
            "exception_type": format!("ValueError{}", group % 40),
            "message": format!("order {group} cannot be paid: the gateway answered 502 after 3 retries"),
            "traceback": traceback,
            "request_url": format!("https://shop.example/orders/{group}/pay"),
            "request_method": "POST",
            "request_headers": {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept": "application/json"},
            "user_id": format!("{}", group * 31 % 1000),
            "extra": {"release": "2026.11.4", "attempt": 3},
        })
        .to_string()
    };
    (0..groups).map(report).collect()
}

/// The text of a Python traceback.
fn frames(seed: usize, depth: usize, line: usize) -> String {
    let mut traceback = "Traceback (most recent call last):\n".to_owned();
    for depth in 0..depth {
        let _ = writeln!(
            traceback,
            "  File \"/srv/shop/app/{}/{}.py\", line {}, in {}_{depth}\n    return self.{}.{}(order, customer={depth})",
            WORDS[depth % 24],
            WORDS[(seed + depth) % 24],
            line + depth,
            WORDS[(seed + 5) % 24],
            WORDS[(depth + 3) % 24],
            WORDS[(depth + 9) % 24],
        );
    }
    traceback
}

/// Error reports of about 50 KB in 200 groups: 20 KB of context that differs each time, and 28 KB of traceback, of which
/// every third quotes values of its own.
pub(crate) fn long_reports(count: usize) -> Vec<String> {
    let mut numbers = Numbers::new(11);
    let report = |number: usize| {
        let group = number % 200;
        let mut traceback = frames(group, 230, 10 + group);
        if number.is_multiple_of(3) {
            let _ = writeln!(
                traceback,
                "locals: order={number}, attempt={}",
                numbers.below(9)
            );
        }
        let _ = write!(
            traceback,
            "  File \"/srv/shop/app/end.py\", line {group}, in end\nValueError: no"
        );
        let basket: Vec<_> = (0..350)
            .map(|item| {
                format!(
                    "{} {} {item}",
                    WORDS[item % 24],
                    numbers.below(1_000_000_000)
                )
            })
            .collect();
        serde_json::json!({
            "project": "shop-long",
            "exception_type": "ValueError",
            "message": format!("order {number} cannot be paid"),
            "traceback": traceback,
            "user_id": format!("{}", number % 1000),
            "extra": {"basket": basket, "trace": format!("{number:08}").repeat(1500)},
        })
        .to_string()
    };
    (0..count).map(report).collect()
}

/// How many templates [`numbered_reports`] makes.
const TEMPLATES: usize = 400;

/// Templates of 2 KB reports that differ in what lists can be filtered by; `thing` marks the number of the group and
/// `number` that of the report.
pub(crate) fn numbered_reports(thing: &str, number: &str) -> Vec<String> {
    let report = |template: usize| {
        let pick = |values: &[&'static str], every: usize| {
            values[(template / every % (values.len() * 3)).min(values.len() - 1)]
        };
        let mut traceback = frames(template, 10, 10 + template);
        let _ = write!(
            traceback,
            "  File \"/srv/shop/app/orders/{thing}.py\", line 12, in pay\nPaymentError: order {thing} was refused",
        );
        serde_json::json!({
            "project": format!("shop-{}", template % 20),
            "exception_type": format!("PaymentError{}", template % 50),
            "message": format!(
                "order {thing} cannot be paid: {} {} answered {} after 3 retries",
                WORDS[template % 24], WORDS[template / 24 % 24], 400 + template % 120,
            ),
            "traceback": traceback,
            "request_url": format!("https://shop.example/orders/{thing}/pay"),
            "request_method": if template.is_multiple_of(10) { "BROWSER" } else { "POST" },
            "request_headers": {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept": "application/json"},
            "user_id": number,
            "level": pick(&["fatal", "warning", "error"], 1),
            "release": format!("2026.{}.{}", template % 8, template / 8),
            "environment": pick(&["staging", "production"], 7),
            "server_name": format!("web-{}", template % 16),
            "tags": {"region": pick(&["ap", "us", "eu"], 3), "shard": template % 32},
            "extra": {"session_id": format!("s-{number}"), "attempt": 3},
        })
        .to_string()
    };
    (0..TEMPLATES).map(report).collect()
}

/// Reports whose tracebacks cost the most to look at for their length, with a name each; all as long as a report may be.
pub(crate) fn awkward_reports() -> Vec<(&'static str, String)> {
    let filled = |part: &str| {
        part.repeat(
            250_000
                / serde_json::json!(part)
                    .to_string()
                    .len()
                    .saturating_sub(2)
                    .max(1),
        )
    };
    [
        ("newlines", filled("\n")),
        ("openings of frames", filled("  File \"")),
        ("frames", filled("    at f (https://shop.example/assets/app.js:1:4711)\n")),
        ("colons and digits", filled("1:2:")),
    ]
    .map(|(name, traceback)| {
        let report = serde_json::json!({
            "project": "shop-awkward", "exception_type": name, "message": "m", "traceback": traceback,
        });
        (name, report.to_string())
    })
    .into()
}

/// Metric batches of `points` points over `series` series in random order, five labels each.
pub(crate) fn batches(count: usize, points: usize, series: u64) -> Vec<String> {
    let mut numbers = Numbers::new(42);
    (0..count)
        .map(|_| {
            let items: Vec<_> = (0..points)
                .map(|_| {
                    let one = numbers.below(series);
                    format!(
                        "{{\"name\":\"http_request_duration_seconds_{}\",\"type\":\"histogram\",\"value\":{}.{:03},\"labels\":{{\"method\":\"GET\",\"endpoint\":\"/api/{}/{{id}}\",\"status\":\"200\",\"host\":\"web-{}\",\"region\":\"eu-{}\"}},\"project\":\"shop\"}}",
                        one % 50,
                        numbers.below(3),
                        numbers.below(1000),
                        WORDS[(one % 24) as usize],
                        one / 50 % 10,
                        one / 500,
                    )
                })
                .collect();
            format!("[{}]", items.join(","))
        })
        .collect()
}

/// Log messages of about 195 bytes and 20 words.
pub(crate) fn log_messages(count: usize) -> Vec<String> {
    let mut numbers = Numbers::new(7);
    let levels = [
        "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "DEBUG", "WARNING", "ERROR",
    ];
    (0..count)
        .map(|line| {
            let mut text = format!(
                "{} [{}] ",
                levels[numbers.below(10) as usize],
                WORDS[numbers.below(24) as usize]
            );
            while text.len() < 170 {
                text.push_str(WORDS[numbers.below(24) as usize]);
                text.push(' ');
            }
            let _ = write!(text, "id={} n={line}", numbers.below(1_000_000));
            text
        })
        .collect()
}

/// A line of a Docker json-file.
pub(crate) fn docker_line(message: &str, second: u64, nanosecond: u64) -> String {
    let (minute, second) = (second / 60 % 60, second % 60);
    format!(
        "{{\"log\":\"{message}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-20T10:{minute:02}:{second:02}.{nanosecond:09}Z\"}}\n"
    )
}

/// Browser errors of about 2 KB: three frames of a script that has a map, and others of one that has none.
pub(crate) fn browser_errors(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            let mut stack = format!("TypeError: Cannot read properties of undefined (reading 'price{}')\n", n % 100);
            for depth in 0..14 {
                let script = if depth < 3 { "shop.example/assets/app.min.js" } else { "cdn.example/lib/vendor.js" };
                let _ = writeln!(stack, "    at f{depth} (https://{script}:1:{})", 1000 + n * 3701 + depth * 411);
            }
            serde_json::json!({
                "type": "TypeError",
                "message": format!("Cannot read properties of undefined (reading 'price{}')", n % 100),
                "stack": stack,
                "url": "https://shop.example/cart",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                "session_id": format!("5ad8ba5d-0000-4000-8000-{:012}", n % 500),
                "context": {"cart": n % 7},
                "release": "bench",
                "timestamp": "2026-11-22T02:11:01.431Z",
            })
            .to_string()
        })
        .collect()
}

/// Batches of 10 browser metrics over 200 pages.
pub(crate) fn browser_batches(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            let metrics: Vec<_> = (0..10)
                .map(|item| {
                    serde_json::json!({
                        "name": format!("web_vitals_{}", ["lcp", "inp", "cls", "fcp", "ttfb"][item % 5]),
                        "type": "histogram",
                        "value": 100 + (n * 37 + item * 211) % 3000,
                        "labels": {"page": format!("/shop/{}", n % 200), "session_id": format!("s{}", n % 500)},
                    })
                })
                .collect();
            serde_json::json!({"metrics": metrics, "url": "https://shop.example/shop"}).to_string()
        })
        .collect()
}

/// A source map of nearly `bytes`, half of it mappings of one line and half the text of the sources.
pub(crate) fn source_map(bytes: usize) -> String {
    const LINE: &str =
        "export const total = (items) => items.reduce((sum, item) => sum + item.price, 0);\n";
    const SOURCES: i64 = 200;
    const NAMES: i64 = 500;
    let lines = bytes as i64 / 2 / SOURCES / (LINE.len() as i64 + 4);
    let mut mappings = String::with_capacity(bytes / 2 + 16);
    let mut last = [0; 5];
    // Every token eight columns on; as a bundler, source after source, up and down in each, with a name now and then.
    let all = bytes as i64 / 2 / 8;
    for token in 0..all {
        let place = [
            token * 8,
            token * SOURCES / all,
            token * 7 / 3 % lines,
            token * 5 % 80,
            token / 3 % NAMES,
        ];
        let fields = if token % 3 == 0 { 5 } else { 4 };
        if token > 0 {
            mappings.push(',');
        }
        for (now, last) in place.iter().zip(&mut last).take(fields) {
            push_vlq(&mut mappings, now - *last);
            *last = *now;
        }
    }
    let content = LINE.repeat(lines as usize);
    let map = serde_json::json!({
        "version": 3,
        "sources": (0..SOURCES).map(|n| format!("src/module{n}.ts")).collect::<Vec<_>>(),
        "sourcesContent": vec![content; SOURCES as usize],
        "names": (0..NAMES).map(|n| format!("name{n}")).collect::<Vec<_>>(),
        "mappings": mappings,
    });
    let map = map.to_string();
    assert!(
        (bytes * 8 / 10..=bytes).contains(&map.len()),
        "{} bytes",
        map.len()
    );
    map
}

/// A number of a mapping (ECMA-426): the sign in the lowest bit, five bits a digit, the lowest first.
fn push_vlq(out: &mut String, number: i64) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rest = number.unsigned_abs() << 1 | u64::from(number < 0);
    loop {
        let more = if rest > 31 { 32 } else { 0 };
        out.push(char::from(DIGITS[(rest & 31 | more) as usize]));
        rest >>= 5;
        if rest == 0 {
            return;
        }
    }
}
