mod more;

use proptest::prelude::*;

use super::*;

/// Frames written as `function|file:line`, those of libraries in parentheses; exceptions divided
/// by `--`, a type before its frames.
fn written(trace: &Stacktrace<'_>) -> String {
    let mut out = Vec::new();
    for (index, exception) in trace.exceptions.iter().enumerate() {
        if index > 0 {
            out.push("--".to_owned());
        }
        if let Some(name) = exception.cause_type {
            out.push(format!("[{name}]"));
        }
        for frame in &exception.frames {
            let line = frame
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            let text = format!("{}|{}{line}", frame.function, frame.file);
            out.push(if frame.in_app {
                text
            } else {
                format!("({text})")
            });
        }
    }
    out.join("\n")
}

#[track_caller]
pub(super) fn check(text: &str, language: Language, expected: &[&str]) {
    let trace = frames(text);
    assert_eq!(written(&trace), expected.join("\n"), "in\n{text}");
    assert_eq!(trace.language, Some(language));
}

#[test]
fn python_innermost_last() {
    check(
        r#"Traceback (most recent call last):
  File "/app/.venv/lib/python3.12/site-packages/flask/app.py", line 880, in full_dispatch_request
    rv = self.dispatch_request()
         ^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/shop/views.py", line 31, in checkout
    return at (cart.total(), 1)
  File "/app/shop/cart.py", line 12, in total
    return sum(line.price for line in self.lines)
ValueError: see File "x.py", line 4, in y
"#,
        Language::Python,
        &[
            "total|/app/shop/cart.py:12",
            "checkout|/app/shop/views.py:31",
            "(full_dispatch_request|/app/.venv/lib/python3.12/site-packages/flask/app.py:880)",
        ],
    );
    // Frames without their heading, and stripped of the blanks at the beginning.
    check(
        "File \"/app/shop/views.py\", line 31, in checkout
    return cart.total()
  File \"/app/shop/cart.py\", line 12, in total
    return at(1)",
        Language::Python,
        &[
            "total|/app/shop/cart.py:12",
            "checkout|/app/shop/views.py:31",
        ],
    );
}

#[test]
fn a_text_of_several_languages() {
    check(
        "Traceback (most recent call last):
  File \"/app/jobs/count.py\", line 9, in count
    return frame.count()
py4j.protocol.Py4JJavaError: An error occurred while calling o45.count.
: org.apache.spark.SparkException: Job aborted
\tat org.apache.spark.scheduler.DAGScheduler.abort(DAGScheduler.scala:2844)
\tat com.acme.jobs.Lines.read(Lines.scala:12)
",
        Language::Java,
        &[
            "count|/app/jobs/count.py:9",
            "--",
            "(org.apache.spark.scheduler.DAGScheduler.abort|DAGScheduler.scala:2844)",
            "com.acme.jobs.Lines.read|Lines.scala:12",
        ],
    );
}

#[test]
fn python_chains_and_syntax_errors() {
    check(
        r#"Traceback (most recent call last):
  File "/app/shop/db.py", line 9, in find
    return rows[0]
           ~~~~^^^
IndexError: list index out of range

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop/cart.py", line 20, in load
    raise CartMissing(cart_id) from error
shop.errors.CartMissing: 42

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/shop/plugins.py", line 3, in reload
    exec(source)
  File "<string>", line 1
    x ===
       ^
SyntaxError: invalid syntax
"#,
        Language::Python,
        &[
            "[IndexError]",
            "find|/app/shop/db.py:9",
            "--",
            "[shop.errors.CartMissing]",
            "load|/app/shop/cart.py:20",
            "--",
            "|<string>:1",
            "reload|/app/shop/plugins.py:3",
        ],
    );
}

#[test]
fn python_groups() {
    let text = r#"  + Exception Group Traceback (most recent call last):
  |   File "/app/shop/sync.py", line 8, in sync_all
  |     async with asyncio.TaskGroup() as group:
  |   File "/usr/lib/python3.12/asyncio/taskgroups.py", line 71, in __aexit__
  |     return await self._aexit(et, exc)
  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/shop/sync.py", line 14, in sync_one
    |     raise TimeoutError(shop)
    | TimeoutError: north
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/app/shop/sync.py", line 16, in sync_one
    |     parse(body)
    | ValueError: south
    +------------------------------------
"#;
    check(
        text,
        Language::Python,
        &[
            "[ExceptionGroup]",
            "(__aexit__|/usr/lib/python3.12/asyncio/taskgroups.py:71)",
            "sync_all|/app/shop/sync.py:8",
            "--",
            "[TimeoutError]",
            "sync_one|/app/shop/sync.py:14",
            "--",
            "[ValueError]",
            "sync_one|/app/shop/sync.py:16",
        ],
    );
    let members: Vec<bool> = frames(text)
        .exceptions
        .iter()
        .map(|exception| exception.is_member)
        .collect();
    assert_eq!(members, [false, true, true]);
    assert_eq!(
        frames(text).location().map(|frame| frame.function),
        Some("sync_all")
    );
}

#[test]
fn v8_frames() {
    check(
        r"TypeError: Cannot read properties of undefined (reading 'price')
    at Cart.total (/app/src/cart.js:12:20)
    at async Promise.all (index 0)
    at Array.map (<anonymous>)
    at new Order (file:///app/src/order.mjs:4:9)
    at Object.<anonymous> (/app/src/index.ts:3:1)
    at Timeout._onTimeout [as _onTimeout] (/app/node_modules/later/index.js:8:2)
    at async /app/src/queue.js:70:5
    at https://shop.example/assets/index-BX3k9a2Z.js:2:90210
    at eval (eval at run (https://shop.example/app.js:5:1), <anonymous>:1:1)
    at GET (webpack-internal:///(rsc)/./src/app/route.ts:9:3)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  code: 'E_CART'
}",
        Language::JavaScript,
        &[
            "Cart.total|/app/src/cart.js:12",
            "(async Promise.all|)",
            "(Array.map|)",
            "new Order|file:///app/src/order.mjs:4",
            "Object.<anonymous>|/app/src/index.ts:3",
            "(Timeout._onTimeout [as _onTimeout]|/app/node_modules/later/index.js:8)",
            "|/app/src/queue.js:70",
            "|https://shop.example/assets/index-BX3k9a2Z.js:2",
            "eval|https://shop.example/app.js:5",
            "GET|webpack-internal:///(rsc)/./src/app/route.ts:9",
            "(process.processTicksAndRejections|node:internal/process/task_queues:95)",
        ],
    );
}

#[test]
fn node_causes() {
    check(
        r"Error: cannot load cart
    at load (/app/src/cart.js:4:11) {
  [cause]: RangeError: bad page
      at page (/app/src/db.js:8:9)
      at load (/app/src/cart.js:3:5)
}",
        Language::JavaScript,
        &[
            "load|/app/src/cart.js:4",
            "--",
            "[RangeError]",
            "page|/app/src/db.js:8",
            "load|/app/src/cart.js:3",
        ],
    );
}

#[test]
fn gecko_and_safari_frames() {
    check(
        "total@https://shop.example/static/js/main.3f2a1b9c.js:1:2345\n\
         Cart.prototype.load/<@https://shop.example/src/cart.ts?t=17:8:3\n\
         async*checkout@webpack://shop/./src/checkout.ts:3:4\n\
         setTimeout handler*start@src/start.ts:5:6\n\
         f@https://shop.example/app.js line 10 > eval:1:2\n\
         @https://unpkg.com/react@18.2.0/react.js:4:4\n\
         global code@https://shop.example/:12:5\n\
         https://shop.example/vendors~main.0a1b2c3d.js:1:9\n\
         [native code]\n\
         forEach@[native code]\n\
         relay refused for bob@mail.example:25\n\
         mail bob@mail.example:25:3",
        Language::JavaScript,
        &[
            "total|https://shop.example/static/js/main.3f2a1b9c.js:1",
            "Cart.prototype.load/<|https://shop.example/src/cart.ts?t=17:8",
            "async*checkout|webpack://shop/./src/checkout.ts:3",
            "setTimeout handler*start|src/start.ts:5",
            "f|https://shop.example/app.js:1",
            "(|https://unpkg.com/react@18.2.0/react.js:4)",
            "global code|https://shop.example/:12",
            "(|https://shop.example/vendors~main.0a1b2c3d.js:1)",
        ],
    );
}

#[test]
fn java_causes_and_suppressed() {
    let text = "com.acme.shop.CheckoutException: cart 42
\tat com.acme.shop.Checkout.run(Checkout.java:31) ~[shop.jar:1.4.2]
\tat com.acme.shop.Checkout.lambda$start$0(Checkout.java:20)
\tat com.acme.shop.Checkout$$Lambda$14/0x0000000800c03000.run(Unknown Source)
\tat app//com.acme.shop.Main.main(Main.kt)
\tat java.base/jdk.internal.reflect.GeneratedMethodAccessor42.invoke(Unknown Source)
\tat java.base@21.0.1/java.lang.Thread.run(Thread.java:1583)
\tSuppressed: java.io.IOException: close failed
\t\tat com.acme.shop.Session.close(Session.java:9)
\tCaused by: java.net.SocketException: reset
\t\tat com.acme.shop.Wire.flush(Wire.java:4)
\t\t... 4 more
Caused by: java.lang.IllegalStateException: no lines
\tat com.acme.shop.Cart.total(Cart.java:57)
\tat com.acme.shop.Cart$1.run(SourceFile:3)
\t... 5 more
";
    check(
        text,
        Language::Java,
        &[
            "com.acme.shop.Checkout.run|Checkout.java:31",
            "com.acme.shop.Checkout.lambda$start$0|Checkout.java:20",
            "com.acme.shop.Main.main|Main.kt",
            "(java.lang.Thread.run|Thread.java:1583)",
            "--",
            "[java.lang.IllegalStateException]",
            "com.acme.shop.Cart.total|Cart.java:57",
            "com.acme.shop.Cart$1.run|SourceFile:3",
        ],
    );
    assert_eq!(
        frames(text).location().map(|frame| frame.function),
        Some("com.acme.shop.Checkout.run")
    );
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        bounded(&text);
    }

    #[test]
    fn any_soup_is_read(pieces in prop::collection::vec(piece(), 0..60)) {
        bounded(&pieces.concat());
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\n",
        "\n",
        "\n",
        "\r\n",
        "  ",
        "\t",
        "\t\t",
        " ",
        "at ",
        "at async ",
        "File \"",
        "\", line ",
        ", in ",
        "Traceback (most recent call last):\n",
        "The above exception was the direct cause of",
        "During handling of the above exception",
        "Caused by: ",
        "Suppressed: ",
        "... 5 more",
        "goroutine 1 [running]:\n",
        "goroutine 2 [x]:\n",
        "created by ",
        ".go:12",
        " +0x1d",
        "#0 ",
        "(12): ",
        "{main}",
        "from ",
        ":in `",
        ":in '",
        "'",
        "`",
        "panicked at ",
        "thread 'main' ",
        "stack backtrace:\n",
        "0: ",
        "12: ",
        "a::b",
        "<a as b::c>::d",
        "--- End of inner exception stack trace ---",
        " ---> ",
        "[cause]: ",
        "Stack trace:\n",
        "Next ",
        "| ",
        "+-+---- 1 ----\n",
        "+ Exception Group Traceback (most recent call last):\n",
        "+-----\n",
        "a.b.C.d(",
        ")",
        "(",
        "E.java:5",
        "x.js:1:2",
        "@",
        "https://h/",
        "é",
        "<anonymous>",
        "native",
        "eval at f (",
        ":1",
        "{",
        " {",
        "a/b.rb",
        "main.f(0x1)",
        "(Inner Exception #0) ",
        ") in ",
        ":line 3",
        "[0x0] in ",
        "$$Lambda",
    ])
}

/// Whatever the text, few frames are kept, each a part of it, and their names can be made.
fn bounded(text: &str) {
    let trace = frames(text);
    assert!(trace.exceptions.len() <= MOST_EXCEPTIONS);
    for exception in &trace.exceptions {
        assert!(exception.frames.len() <= 2 * MOST_FRAMES);
        assert!(!exception.frames.is_empty() || exception.cause_type.is_some());
    }
    for frame in trace.frames() {
        assert!(text.contains(frame.function) && text.contains(frame.file));
        let identity = Identities::default().of(frame);
        let longest = identity.map_or(0, |identity| identity.file.len() + identity.function.len());
        assert!(longest <= frame.file.len() + 2 * frame.function.len() + 16);
    }
    assert_eq!(trace.location().is_none(), trace.frames().next().is_none());
}

/// Texts at which a parser with a search per beginning would take minutes.
#[test]
fn hostile_texts_are_read_once() {
    for unit in [
        "\n",
        "at \n",
        "at ",
        "at (",
        "at (\n",
        "File \"",
        "File \"\n",
        "  File \"a\", line 1, in f\n",
        "@",
        "@\n",
        "a@b:1:2\n",
        "at a (b.js:1:2)\n",
        "#0 a(1): ",
        "#0 a(1): b\n",
        "from ",
        ":in `",
        "---> ",
        "0: a::b\n",
        "Caused by: a\n",
        "\tat a.b(C.java:1)\n",
        "| ",
        "+",
        "(",
        ")",
        "a.go:1\n",
        "<",
        "{",
        "a.b(x) in y:line 1",
        "panicked at ",
        " in ",
    ] {
        bounded(&unit.repeat(250_000 / unit.len()));
    }
}

fn lines<T>(items: impl IntoIterator<Item = T>, line: impl Fn(T) -> String) -> String {
    let lines: Vec<_> = items.into_iter().map(line).collect();
    lines.join("\n")
}

#[test]
fn only_the_innermost_frames_are_kept() {
    let python = lines(0..100, |n| format!("  File \"a.py\", line {n}, in f{n}"));
    let java = lines(0..100, |n| format!("\tat a.B.f{n}(B.java:{n})"));
    let innermost = |text: &str| {
        let trace = frames(text);
        let names: Vec<_> = trace
            .frames()
            .map(|frame| frame.function.to_owned())
            .collect();
        (names.len(), names[0].clone())
    };
    assert_eq!(innermost(&python), (MOST_FRAMES, "f99".to_owned()));
    assert_eq!(innermost(&java), (MOST_FRAMES, "a.B.f0".to_owned()));
}

#[test]
fn of_long_chains_both_ends_are_kept() {
    let text = lines(0..100, |n| {
        format!("Caused by: E{n}: x\n\tat a.B.f(B.java:1)")
    });
    let types: Vec<_> = frames(&text)
        .exceptions
        .iter()
        .filter_map(|exception| exception.cause_type)
        .map(str::to_owned)
        .collect();
    assert_eq!(types, ["E0", "E1", "E2", "E3", "E96", "E97", "E98", "E99"]);
}

#[test]
fn recursion_is_seen_in_both_orders() {
    let recursive = |text: &str| frames(text).exceptions[0].is_recursive;
    let java = |names: &str| lines(names.chars(), |name| format!("\tat a.B.{name}(B.java:1)"));
    let python = |names: &str| {
        lines(names.chars(), |name| {
            format!("  File \"a.py\", line 1, in {name}")
        })
    };
    assert!(recursive(&java("ababm")));
    assert!(!recursive(&java("aaam")));
    assert!(!recursive(&java("cababm")));
    assert!(recursive(&python("mabab")));
    assert!(!recursive(&python("maaa")));
    assert!(!recursive(&python("mababc")));
}
