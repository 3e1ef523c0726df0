//! Stack traces as programs print them: one entry each, whatever stands at the left margin.

use std::time::Duration;

use log_viewer::domain::entry::{Level, Line, NewEntry, Stream};
use log_viewer::domain::multiline::Assembler;

fn assemble(text: &str) -> Vec<NewEntry> {
    let mut assembler = Assembler::new(Stream::Stderr);
    let now = Duration::from_secs(1);
    let lines = text.lines().filter(|line| *line != "---").enumerate();
    let mut entries: Vec<NewEntry> = lines
        .filter_map(|(time, text)| {
            let line = Line {
                time_ns: time as i64,
                text: text.to_owned(),
            };
            assembler.push(line, now)
        })
        .collect();
    entries.extend(assembler.close());
    entries
}

/// `text` holds the entries, separated by lines of `---`.
#[track_caller]
fn check(text: &str) {
    let expected: Vec<&str> = text.split("\n---\n").collect();
    let found = assemble(text);
    let found: Vec<&str> = found.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(found, expected);
}

#[test]
fn python_beyond_the_plain_traceback() {
    // An exception group within a chain.
    check(concat!(
        "Traceback (most recent call last):\n",
        "  File \"/app/main.py\", line 3, in load\n",
        "    raise OSError(\"disk\")\n",
        "OSError: disk\n",
        "\n",
        "During handling of the above exception, another exception occurred:\n",
        "\n",
        "  + Exception Group Traceback (most recent call last):\n",
        "  |   File \"/app/main.py\", line 9, in <module>\n",
        "  |     asyncio.run(main())\n",
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n",
        "  +-+---------------- 1 ----------------\n",
        "    | Traceback (most recent call last):\n",
        "    |   File \"/app/main.py\", line 6, in task\n",
        "    | ValueError: one\n",
        "    +------------------------------------\n",
        "---\n",
        "INFO:     next",
    ));
    // asyncio names the future in between.
    check(concat!(
        "Task exception was never retrieved\n",
        "future: <Task finished name='Task-1' coro=<main() done> exception=ValueError('one')>\n",
        "Traceback (most recent call last):\n",
        "  File \"/app/main.py\", line 6, in main\n",
        "    raise ValueError(\"one\")\n",
        "ValueError: one\n",
        "---\n",
        "next",
    ));
    // faulthandler.
    check(concat!(
        "Fatal Python error: Segmentation fault\n",
        "\n",
        "Current thread 0x00007f0a1c000740 (most recent call first):\n",
        "  File \"/app/main.py\", line 6 in crash\n",
        "  File \"/app/main.py\", line 9 in <module>\n",
        "\n",
        "Extension modules: numpy.core._multiarray_umath (total: 1)\n",
        "---\n",
        "restarted",
    ));
    // Rich.
    check(concat!(
        "╭──────── Traceback (most recent call last) ────────╮\n",
        "│ /app/main.py:6 in main                            │\n",
        "│ ❱ 6     raise ValueError(\"one\")                   │\n",
        "╰───────────────────────────────────────────────────╯\n",
        "ValueError: one\n",
        "---\n",
        "next",
    ));
    // An error of a worker that goes on.
    check(concat!(
        "[2026-11-20 08:14:02 +0000] [7] [ERROR] Exception in worker process\n",
        "Traceback (most recent call last):\n",
        "  File \"/usr/lib/python3/arbiter.py\", line 609, in spawn_worker\n",
        "    worker.init_process()\n",
        "ModuleNotFoundError: No module named 'shop'\n",
        "---\n",
        "[2026-11-20 08:14:02 +0000] [7] [INFO] Worker exiting (pid: 7)",
    ));
}

#[test]
fn java_with_suppressed_and_circular_causes() {
    check(concat!(
        "2026-11-20 08:14:02.123 ERROR 1 --- [nio-8080-exec-1] c.a.shop.Pay : declined\n",
        "com.acme.PayException: declined\n",
        "\tat com.acme.shop.Pay.charge(Pay.java:17) ~[shop.jar:1.0]\n",
        "\tat java.base/java.lang.Thread.run(Thread.java:1583)\n",
        "\tSuppressed: java.io.IOException: close\n",
        "\t\tat com.acme.shop.Conn.close(Conn.java:9)\n",
        "Caused by: java.net.SocketTimeoutException: Read timed out\n",
        "\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)\n",
        "\t... 12 common frames omitted\n",
        "Caused by: java.lang.IllegalStateException\n",
        "\t... 14 more\n",
        "---\n",
        "2026-11-20 08:14:02.500  INFO 1 --- [nio-8080-exec-1] c.a.shop.Pay : next",
    ));
}

#[test]
fn dotnet() {
    check(concat!(
        "Unhandled exception. System.InvalidOperationException: bad\n",
        " ---> System.IO.IOException: disk\n",
        "   at Shop.Store.Read() in /src/Store.cs:line 12\n",
        "   --- End of inner exception stack trace ---\n",
        "   at Shop.Program.<Main>$(String[] args) in /src/Program.cs:line 3\n",
        "--- End of stack trace from previous location ---\n",
        "   at System.Threading.Tasks.Task.Wait()\n",
        "---\n",
        "next",
    ));
    check(concat!(
        "fail: Microsoft.AspNetCore.Server.Kestrel[13]\n",
        "      Connection id \"0HN\", Request id \"0HN:1\": An unhandled exception was thrown.\n",
        "      System.NullReferenceException: Object reference not set\n",
        "         at Shop.Cart.Add() in /src/Cart.cs:line 7\n",
        "---\n",
        "info: Microsoft.Hosting.Lifetime[0]\n",
        "      Application is shutting down...",
    ));
}

#[test]
fn ruby() {
    check(concat!(
        "/app/cart.rb:3:in `add': undefined method `price' for nil:NilClass (NoMethodError)\n",
        "\n",
        "    product.price\n",
        "           ^^^^^^\n",
        "\tfrom /app/cart.rb:9:in `<main>'\n",
        "---\n",
        "next",
    ));
    check(concat!(
        "NoMethodError (undefined method `price' for nil:NilClass):\n",
        "\n",
        "app/models/cart.rb:3:in `add'\n",
        "app/controllers/carts_controller.rb:12:in `create'\n",
        "---\n",
        "Started GET \"/\" for 10.0.0.7",
    ));
    check(concat!(
        "2026-11-20T08:14:02.123Z pid=1 tid=gx WARN: RuntimeError: declined\n",
        "/app/jobs/pay.rb:4:in 'PayJob#perform'\n",
        "/usr/lib/ruby/sidekiq/processor.rb:220:in 'Sidekiq::Processor#execute_job'\n",
        "---\n",
        "2026-11-20T08:14:03.123Z pid=1 tid=gx INFO: done",
    ));
}

#[test]
fn node() {
    check(concat!(
        "node:events:495\n",
        "      throw er; // Unhandled 'error' event\n",
        "      ^\n",
        "\n",
        "Error: listen EADDRINUSE: address already in use :::3000\n",
        "    at Server.setupListenHandle [as _listen2] (node:net:1817:16)\n",
        "Emitted 'error' event on Server instance at:\n",
        "    at emitErrorNT (node:net:1796:8) {\n",
        "  code: 'EADDRINUSE',\n",
        "  port: 3000\n",
        "}\n",
        "\n",
        "Node.js v20.10.0\n",
        "---\n",
        "npm notice",
    ));
    check(concat!(
        "Error: declined\n",
        "    at charge (/app/pay.js:7:9)\n",
        "    at async /app/index.js:3:3 {\n",
        "  [cause]: Error: timeout\n",
        "      at fetch (/app/net.js:1:1)\n",
        "}\n",
        "---\n",
        "listening",
    ));
}

#[test]
fn rust_reports_and_panics() {
    check(concat!(
        "Error: cannot start\n",
        "\n",
        "Caused by:\n",
        "    0: cannot open the database\n",
        "    1: No such file or directory (os error 2)\n",
        "\n",
        "Location:\n",
        "    src/main.rs:12:5\n",
        "---\n",
        "next",
    ));
    check(concat!(
        "thread 'tokio-runtime-worker' (4711) panicked at src/pay.rs:7:9:\n",
        "called `Result::unwrap()` on an `Err` value: Declined\n",
        "stack backtrace:\n",
        "   0: rust_begin_unwind\n",
        "             at /rustc/0000/library/std/src/panicking.rs:689:5\n",
        "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n",
        "---\n",
        "next",
    ));
}

#[test]
fn php() {
    check(concat!(
        "[2026-11-20 08:14:02] production.ERROR: declined {\"exception\":\"[object] (PayException(code: 0): declined at /app/Pay.php:17)\n",
        "[stacktrace]\n",
        "#0 /app/Cart.php(9): Pay->charge()\n",
        "#1 {main}\n",
        "\"} \n",
        "---\n",
        "[2026-11-20 08:14:03] production.INFO: next",
    ));
    check(concat!(
        "Fatal error: Uncaught PayException: declined in /app/Pay.php:17\n",
        "Stack trace:\n",
        "#0 /app/Cart.php(9): Pay->charge()\n",
        "#1 {main}\n",
        "  thrown in /app/Pay.php on line 17\n",
        "---\n",
        "next",
    ));
}

#[test]
fn what_only_looks_like_a_part_of_a_trace_stands_alone() {
    check("started\n---\nCaused by:\n---\nLocation:\n---\n--- End of file ---");
    check(
        "loading app/cart.rb:3:in order\n---\napp/cart.rb:3:in `add'\n---\n[stacktrace] is empty",
    );
    check("│ a table │\n---\n│ of two rows │");
}

#[test]
fn traces_have_the_level_of_a_failure_on_either_stream() {
    for text in [
        "NoMethodError (undefined method `price' for nil:NilClass):",
        "Unhandled exception. System.InvalidOperationException: bad",
        "java.lang.IllegalStateException: bad",
        "panic: boom",
        "thread 'main' panicked at src/main.rs:1:1:",
        "Traceback (most recent call last):",
        "Error: cannot start",
    ] {
        let level = log_viewer::domain::level::detect(text, Stream::Stdout);
        assert!(level >= Level::Error, "{text}: {level:?}");
    }
}
