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
    (0..groups)
        .map(|group| {
            let mut traceback = "Traceback (most recent call last):\n".to_owned();
            for depth in 0..12 {
                let _ = writeln!(
                    traceback,
                    "  File \"/srv/shop/app/{}/{}.py\", line {}, in {}_{depth}\n    return self.{}.{}(order, customer={depth})",
                    WORDS[depth % 24],
                    WORDS[(group + depth) % 24],
                    10 + group + depth,
                    WORDS[(group + 5) % 24],
                    WORDS[(depth + 3) % 24],
                    WORDS[(depth + 9) % 24],
                );
            }
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
        })
        .collect()
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

/// Browser errors of about 2 KB.
pub(crate) fn browser_errors(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            let mut stack = format!("TypeError: Cannot read properties of undefined (reading 'price{}')\n", n % 100);
            for depth in 0..14 {
                let _ = writeln!(stack, "    at f{depth} (https://shop.example/assets/app.min.js:1:{})", 1000 + (n % 100) * 37 + depth * 411);
            }
            serde_json::json!({
                "type": "TypeError",
                "message": format!("Cannot read properties of undefined (reading 'price{}')", n % 100),
                "stack": stack,
                "url": "https://shop.example/cart",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                "session_id": format!("5ad8ba5d-0000-4000-8000-{:012}", n % 500),
                "context": {"cart": n % 7},
                "timestamp": "2026-11-22T02:11:01.431Z",
            })
            .to_string()
        })
        .collect()
}
