use super::super::{Identities, Language, frames};
use super::check;

#[test]
fn go_panics() {
    check(
        "panic: runtime error: index out of range [5] with length 3

goroutine 34 [running]:
panic({0x4a9ac0, 0xc0000140f0})
\t/usr/local/go/src/runtime/panic.go:884 +0x213
github.com/acme/shop/cart.(*Cart).Total(0xc00009c000, {0x1, 0x2})
\t/build/shop/cart/cart.go:42 +0x1d
main.main.func1()
\t/build/shop/main.go:20 +0x65
github.com/gin-gonic/gin.(*Context).Next(...)
\t/root/go/pkg/mod/github.com/gin-gonic/gin@v1.9.1/context.go:174
created by main.main in goroutine 1
\t/build/shop/main.go:18 +0x9c

goroutine 1 [IO wait]:
main.other()
\t/build/shop/other.go:3 +0x1
exit status 2
",
        Language::Go,
        &[
            "(panic|/usr/local/go/src/runtime/panic.go:884)",
            "github.com/acme/shop/cart.(*Cart).Total|/build/shop/cart/cart.go:42",
            "main.main.func1|/build/shop/main.go:20",
            "(github.com/gin-gonic/gin.(*Context).Next|/root/go/pkg/mod/github.com/gin-gonic/gin@v1.9.1/context.go:174)",
        ],
    );
}

#[test]
fn go_error_packages() {
    check(
        "cart 42 not found
github.com/acme/shop/cart.Load
\t/build/shop/cart/load.go:12
main.main
\t/build/shop/main.go:9
runtime.main
\t/usr/local/go/src/runtime/proc.go:250
",
        Language::Go,
        &[
            "github.com/acme/shop/cart.Load|/build/shop/cart/load.go:12",
            "main.main|/build/shop/main.go:9",
            "(runtime.main|/usr/local/go/src/runtime/proc.go:250)",
        ],
    );
}

#[test]
fn ruby_traces() {
    check(
        "/srv/shop/app/models/cart.rb:42:in `total': no lines (ArgumentError)
\tfrom /srv/shop/app/models/cart.rb:40:in `block in total'
\tfrom /usr/local/bundle/gems/rack-2.2.8/lib/rack.rb:7:in `call'
\tfrom <internal:kernel>:187:in `loop'
\tfrom bin/shop:3
",
        Language::Ruby,
        &[
            "total|/srv/shop/app/models/cart.rb:42",
            "block in total|/srv/shop/app/models/cart.rb:40",
            "(call|/usr/local/bundle/gems/rack-2.2.8/lib/rack.rb:7)",
            "(loop|<internal:kernel>:187)",
            "|bin/shop:3",
        ],
    );
    check(
        "app/models/cart.rb:42:in 'Cart#total'\napp/jobs/bill.rb:3:in 'Bill#perform'",
        Language::Ruby,
        &[
            "Cart#total|app/models/cart.rb:42",
            "Bill#perform|app/jobs/bill.rb:3",
        ],
    );
    check(
        "Traceback (most recent call last):
\t1: from bin/shop:3:in `<main>'
app/models/cart.rb:42:in `total': no lines (ArgumentError)
",
        Language::Ruby,
        &["total|app/models/cart.rb:42", "<main>|bin/shop:3"],
    );
}

#[test]
fn php_traces() {
    check(
        r"PHP Fatal error:  Uncaught RuntimeException: no lines in /app/src/Cart.php:42
Stack trace:
#0 /app/src/Checkout.php(12): Shop\Cart->total(Object(Shop\Order), 'a (b')
#1 /app/vendor/symfony/http-kernel/HttpKernel.php(163): Shop\Checkout->{closure:Shop\Checkout::run():9}(Array)
#2 [internal function]: array_map(Object(Closure), Array)
#3 {main}

Next Shop\CheckoutException: failed in /app/src/Checkout.php:15
Stack trace:
#0 /app/public/index.php(8): Shop\Checkout->run()
#1 {main}
  thrown in /app/src/Checkout.php on line 15",
        Language::Php,
        &[
            "|/app/src/Cart.php:42",
            r"Shop\Cart->total|/app/src/Checkout.php:12",
            r"(Shop\Checkout->{closure:Shop\Checkout::run():9}|/app/vendor/symfony/http-kernel/HttpKernel.php:163)",
            "(array_map|)",
            "--",
            "|/app/src/Checkout.php:15",
            r"Shop\Checkout->run|/app/public/index.php:8",
        ],
    );
}

#[test]
fn rust_backtraces() {
    check(
        "thread 'main' panicked at src/cart.rs:42:9:
index out of bounds: the len is 3 but the index is 5
stack backtrace:
   0: rust_begin_unwind
             at /rustc/0123456789abcdef0123456789abcdef01234567/library/std/src/panicking.rs:645:5
   1: core::panicking::panic_fmt
             at /rustc/0123456789abcdef0123456789abcdef01234567/library/core/src/panicking.rs:72:14
   2: shop::cart::Cart::total
             at ./src/cart.rs:42:9
   3: <shop::cart::Cart as core::fmt::Display>::fmt
   4: <alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once
             at /rustc/0123456789abcdef0123456789abcdef01234567/library/alloc/src/boxed.rs:2007:9
   5:     0x55d0c8a1b2c3 - shop::main::h0123456789abcdef
note: Some details are omitted
",
        Language::Rust,
        &[
            "|src/cart.rs:42",
            "(rust_begin_unwind|/rustc/0123456789abcdef0123456789abcdef01234567/library/std/src/panicking.rs:645)",
            "(core::panicking::panic_fmt|/rustc/0123456789abcdef0123456789abcdef01234567/library/core/src/panicking.rs:72)",
            "shop::cart::Cart::total|./src/cart.rs:42",
            "<shop::cart::Cart as core::fmt::Display>::fmt|",
            "(<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once|/rustc/0123456789abcdef0123456789abcdef01234567/library/alloc/src/boxed.rs:2007)",
            "shop::main::h0123456789abcdef|",
        ],
    );
}

#[test]
fn rust_sentences_with_numbers_are_no_frames() {
    check(
        "cannot load cart

Caused by:
    0: connection refused (os error 111)
    1: shop::db said: no

Stack backtrace:
   0: shop::db::load
             at ./src/db.rs:4:5
   1: main
thread 'worker' panicked at 'no lines', src/worker.rs:7:1
",
        Language::Rust,
        &[
            "shop::db::load|./src/db.rs:4",
            "(main|)",
            "|src/worker.rs:7",
        ],
    );
}

#[test]
fn csharp_traces() {
    check(
        r"System.AggregateException: One or more errors occurred. (no lines)
 ---> Shop.CheckoutException: cart 42
 ---> System.InvalidOperationException: no lines
   at Shop.Cart.Total(Order order, List`1 lines) in C:\agent\work\8f3e2a\src\Cart.cs:line 42
   at Shop.Checkout.<RunAsync>d__12.MoveNext() in /src/Checkout.cs:line 9
--- End of stack trace from previous location ---
   at System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess(Task task)
   --- End of inner exception stack trace ---
   at Shop.Program.Main()
   --- End of inner exception stack trace ---
   at lambda_method123(Closure , Object )
   at Shop.Player.Update () [0x00012] in <00000000000000000000000000000000>:0
   at Shop.Player.Start () [0x00000] in /src/Player.cs:7",
        Language::CSharp,
        &[
            "[System.InvalidOperationException]",
            r"Shop.Cart.Total|C:\agent\work\8f3e2a\src\Cart.cs:42",
            "Shop.Checkout.<RunAsync>d__12.MoveNext|/src/Checkout.cs:9",
            "(System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess|)",
            "--",
            "[Shop.CheckoutException]",
            "Shop.Program.Main|",
            "--",
            "(lambda_method123|)",
            "Shop.Player.Update|",
            "Shop.Player.Start|/src/Player.cs:7",
        ],
    );
}

#[test]
fn sentences_are_no_frames() {
    for text in [
        "",
        "at position 5",
        "at least one item (ratio 3:2) is needed",
        "no socket at ws://live.example:8443",
        "at 10:30",
        "relay refused for bob@mail.example:25",
        "#1 in the list (of 5)",
        "from here to there",
        "File \"a.py\" is missing",
        "1: first\n2: second",
        "error in: x",
        "goroutine leak",
        "see cart.go:12 and cart.rb:12",
        "at f (https://shop.example/app.js:3:4",
    ] {
        assert_eq!(frames(text).frames().count(), 0, "{text:?}");
    }
}

#[track_caller]
fn identity(line: &str, file: &str, function: &str) {
    let trace = frames(line);
    let frame = trace.frames().next().expect("a frame");
    let identity = Identities::default().of(frame).expect("a lasting frame");
    assert_eq!(
        (identity.file.as_str(), identity.function.as_str()),
        (file, function),
        "of {line}"
    );
}

#[test]
fn files_without_releases_and_hashes() {
    let python = |file: &str| format!("File \"{file}\", line 1, in f");
    identity(&python("/app/shop/cart.py"), "app/shop/cart.py", "f");
    identity(
        &python("/srv/shop/releases/20240501120000/shop/cart.py"),
        "shop/shop/cart.py",
        "f",
    );
    identity(
        &python("/srv/shop/current/shop/cart.py"),
        "shop/shop/cart.py",
        "f",
    );
    identity(
        &python("/opt/shop-1.4.2/lib/cart.py"),
        "shop/lib/cart.py",
        "f",
    );
    identity(&python("/opt/v1.4.2/9fceb02d/cart.py"), "opt/cart.py", "f");
    identity(&python("/app/api/v2/cart.py"), "api/v2/cart.py", "f");
    identity(
        &python(r"C:\shop\2.0.0-rc.1\cart.py"),
        "C:/shop/cart.py",
        "f",
    );
    identity(&python("./shop/../cart.py"), "shop/cart.py", "f");
    identity(
        &python("/tmp/ipykernel_1234/1234567890.py"),
        "tmp/ipykernel/.py",
        "f",
    );
    identity(&python("<ipython-input-3-0a1b2c>"), "<ipython-input-", "f");
    identity(&python("<string>"), "<string>", "f");
    let script = |file: &str| format!("at total ({file}:1:2)");
    identity(
        &script("https://shop.example/static/js/main.3f2a1b9c.chunk.js?v=5#x"),
        "static/js/main.chunk.js",
        "total",
    );
    identity(
        &script("https://cdn.shop.example/v1.4.2/assets/index-BX3k9a2Z.js"),
        "assets/index.js",
        "total",
    );
    identity(
        &script("https://shop.example/_next/static/chunks/pages/cart-0a1b2c3d4e5f6071.js"),
        "chunks/pages/cart.js",
        "total",
    );
    identity(
        &script("https://shop.example/_next/static/chunks/4711-0a1b2c3d.js"),
        "static/chunks/.js",
        "total",
    );
    identity(
        &script("/app/dist/chunk-ABCD2345.mjs"),
        "app/dist/chunk.mjs",
        "total",
    );
    identity(&script("/app/src/step-1.js"), "app/src/step-1.js", "total");
    identity(
        &script("webpack://shop/./src/Cart.vue?0a1b"),
        "src/Cart.vue",
        "total",
    );
    identity(
        &script("http://localhost:5173/src/cart.ts?t=1714550400"),
        "src/cart.ts",
        "total",
    );
    identity(
        &script("https://shop.example/main.4f2a.js"),
        "main.js",
        "total",
    );
    identity(
        &script("blob:https://shop.example/550e8400-e29b-41d4-a716-446655440000"),
        "",
        "total",
    );
    identity(
        &script("https://shop.example/products/42"),
        "products/",
        "total",
    );
}

#[test]
fn functions_without_numbers() {
    let script = |name: &str| format!("at {name} (/app/src/cart.js:1:2)");
    identity(&script("async Cart.total"), "app/src/cart.js", "Cart.total");
    identity(&script("Object.<anonymous>"), "app/src/cart.js", "");
    identity(&script("new Cart"), "app/src/cart.js", "Cart");
    identity(&script("Anonymous function"), "app/src/cart.js", "");
    identity(&script("Cart.a [as total]"), "app/src/cart.js", "Cart.a");
    identity("at t.a (https://h.example/main.js:1:2)", "main.js", "");
    identity(
        "at t.onClick (https://h.example/main.js:1:2)",
        "main.js",
        "onClick",
    );
    identity(
        "async*load@https://h.example/src/cart.ts:1:2",
        "src/cart.ts",
        "load",
    );
    identity(
        "Cart.prototype.load/<@https://h.example/src/cart.ts:1:2",
        "src/cart.ts",
        "",
    );
    identity(
        "at a.B$1.lambda$total$0(B.java:1)",
        "",
        "a.B$.lambda$total$",
    );
    identity(
        "at Shop.Cart.<TotalAsync>d__12.MoveNext() in a.cs:line 1",
        "",
        "Shop.Cart.TotalAsync",
    );
    identity(
        "at Shop.Cart.<>c__DisplayClass3_0.<Total>b__1(Int32 x)",
        "",
        "Shop.Cart.Total",
    );
    identity(
        "at Shop.Cart.<>c__DisplayClass3_0.<<Total>b__0>d.MoveNext()",
        "",
        "Shop.Cart.Total",
    );
    identity(
        "at Shop.Cart.<Total>g__Inner|3_0(Int32 x)",
        "",
        "Shop.Cart.Total.Inner",
    );
    identity("at Shop.Box`1.Get[T](T x)", "", "Shop.Box.Get");
    identity("at Shop.Cart..ctor()", "", "Shop.Cart.ctor");
    identity(
        "main.main.func1.2()\n\t/b/main.go:1 +0x1",
        "",
        "main.main.func",
    );
    identity(
        "from a.rb:1:in `block (2 levels) in total'",
        "a.rb",
        "total",
    );
    identity("from a.rb:1:in 'Cart#total'", "a.rb", "total");
    identity(
        "#0 /a/b.php(1): Shop\\{closure:Shop\\run():9}()",
        "a/b.php",
        "Shop\\{closure}",
    );
    identity(
        "#0 /a/b.php(1): class@anonymous/a/b.php:12$0->total()",
        "a/b.php",
        "class@anonymous->total",
    );
    identity(
        "#0 /a/b.php(3) : eval()'d code(1): total()",
        "a/b.php",
        "total",
    );
    identity(
        "0: shop::total::{{closure}}::h0123456789abcdef",
        "",
        "shop::total::{closure}",
    );
    identity("0: shop::total::{closure#0}", "", "shop::total::{closure}");
}
