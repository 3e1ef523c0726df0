//! Traces of Java, Kotlin, Go, Rust and C#.

use super::{apart, same};

const SPRING: &str = "org.springframework.dao.DataIntegrityViolationException: could not execute statement; order 42
\tat org.springframework.orm.jpa.vendor.HibernateJpaDialect.convert(HibernateJpaDialect.java:276) ~[spring-orm-5.3.1.jar:5.3.1]
\tat com.acme.shop.OrderService.save(OrderService.java:57) ~[classes/:1.4.2]
\tat com.acme.shop.OrderService$$FastClassBySpringCGLIB$$8e1f2a3b.invoke(<generated>)
\tat java.base/jdk.internal.reflect.NativeMethodAccessorImpl.invoke0(Native Method)
\tat com.acme.shop.OrderController.lambda$create$0(OrderController.java:31)
\tat com.acme.shop.OrderController$$Lambda$1042/0x0000000801234567.get(Unknown Source)
Caused by: org.postgresql.util.PSQLException: ERROR: duplicate key value (42)
\tat org.postgresql.core.v3.QueryExecutorImpl.receive(QueryExecutorImpl.java:2676)
\tat com.acme.shop.OrderRepository.insert(OrderRepository.java:20)
\t... 8 more
";

#[test]
fn java_over_a_release() {
    let later = SPRING
        .replace(":57", ":61")
        .replace("5.3.1", "5.3.9")
        .replace("1.4.2", "1.5.0")
        .replace("8e1f2a3b", "00c0ffee")
        .replace(
            "NativeMethodAccessorImpl.invoke0(Native Method)",
            "GeneratedMethodAccessor77.invoke(Unknown Source)",
        )
        .replace("Lambda$1042/0x0000000801234567", "Lambda$7/0x1")
        .replace("lambda$create$0", "lambda$create$3")
        .replace("... 8 more", "... 12 common frames omitted");
    let name = "org.springframework.dao.DataIntegrityViolationException";
    same((name, "order 42", SPRING), (name, "order 43", &later));
}

#[test]
fn java_causes_tell_wrapped_errors_apart() {
    let name = "org.springframework.dao.DataIntegrityViolationException";
    let other_type = SPRING.replace("PSQLException", "PSQLTimeoutException");
    apart((name, "x", SPRING), (name, "x", &other_type));
    let other_place = SPRING.replace("OrderRepository.insert", "OrderRepository.update");
    apart((name, "x", SPRING), (name, "x", &other_place));
}

#[test]
fn java_suppressed_exceptions_do_not_count() {
    let suppressed = SPRING.replace(
        "Caused by: ",
        "\tSuppressed: java.io.IOException: close\n\t\tat com.acme.shop.Session.close(Session.java:9)\nCaused by: ",
    );
    let name = "org.springframework.dao.DataIntegrityViolationException";
    same((name, "x", SPRING), (name, "x", &suppressed));
}

#[test]
fn java_overflow_ends_anywhere() {
    let overflow = |first: usize| {
        let frame = |n: usize| {
            let name = ["visit", "children", "accept"][n % 3];
            format!("\tat com.acme.Tree.{name}(Tree.java:{n})")
        };
        let frames: Vec<_> = (first..first + 1024).map(frame).collect();
        frames.join("\n")
    };
    let (one, other) = (overflow(0), overflow(1));
    same(
        ("java.lang.StackOverflowError", "", &one),
        ("java.lang.StackOverflowError", "", &other),
    );
}

#[test]
fn kotlin_coroutines() {
    let trace = |number: u32| {
        format!(
            "kotlin.KotlinNullPointerException
\tat com.acme.shop.CartKt$total${number}.invokeSuspend(Cart.kt:{number}0)
\tat kotlin.coroutines.jvm.internal.BaseContinuationImpl.resumeWith(ContinuationImpl.kt:33)
\tat com.acme.shop.CartKt.main(Cart.kt:{number})"
        )
    };
    let name = "kotlin.KotlinNullPointerException";
    same((name, "", &trace(1)), (name, "", &trace(2)));
}

const GO: &str = "panic: runtime error: index out of range [5] with length 3

goroutine 34 [running]:
panic({0x4a9ac0, 0xc0000140f0})
\t/usr/local/go/src/runtime/panic.go:884 +0x213
github.com/acme/shop/cart.(*Cart).Total(0xc00009c000, {0x1, 0x2})
\t/build/1714550400/cart/cart.go:42 +0x1d
main.main.func1()
\t/build/1714550400/main.go:20 +0x65
created by main.main in goroutine 1
\t/build/1714550400/main.go:18 +0x9c
";

#[test]
fn go_over_a_release() {
    let later = GO
        .replace("[5] with length 3", "[9] with length 2")
        .replace("goroutine 34", "goroutine 5011")
        .replace("0xc00009c000", "0xc0001aa000")
        .replace("1714550400", "1718000000")
        .replace("go:42 +0x1d", "go:47 +0x2f")
        .replace("func1", "func2");
    same(
        ("runtime.boundsError", "index out of range [5]", GO),
        ("runtime.boundsError", "index out of range [9]", &later),
    );
}

#[test]
fn go_other_goroutines_do_not_count() {
    let dump = format!("{GO}\ngoroutine 1 [IO wait]:\nmain.serve()\n\t/build/1/serve.go:3 +0x1\n");
    same(("panic", "x", GO), ("panic", "x", &dump));
}

#[test]
fn go_another_function() {
    apart(
        ("panic", "x", GO),
        ("panic", "x", &GO.replace("Total", "Weight")),
    );
}

#[test]
fn go_errors_with_stacks() {
    let stack = |line: u32, id: u32| {
        format!(
            "load cart {id}: no rows\ngithub.com/acme/shop/cart.Load\n\t/src/cart/load.go:{line}\nmain.main\n\t/src/main.go:{line}\nruntime.main\n\t/usr/local/go/src/runtime/proc.go:250\n"
        )
    };
    same(
        ("error", "load cart 1: no rows", &stack(12, 1)),
        ("error", "load cart 2: no rows", &stack(14, 2)),
    );
}

const RUST: &str = "thread 'tokio-runtime-worker' (4711) panicked at src/cart.rs:42:9:
index out of bounds: the len is 3 but the index is 5
stack backtrace:
   0: rust_begin_unwind
             at /rustc/0123456789abcdef0123456789abcdef01234567/library/std/src/panicking.rs:645:5
   1: shop::cart::Cart::total
             at /build/9fceb02d/src/cart.rs:42:9
   2: shop::api::checkout::{{closure}}
             at /build/9fceb02d/src/api.rs:17:5
   3: <core::pin::Pin<P> as core::future::future::Future>::poll
   4: tokio::runtime::task::core::Core<T,S>::poll
             at /usr/local/cargo/registry/src/index.crates.io-6f17d22bba15001f/tokio-1.37.0/src/runtime/task/core.rs:328:17
";

#[test]
fn rust_over_a_release() {
    let later = RUST
        .replace("4711", "12")
        .replace(":42:9", ":48:13")
        .replace("9fceb02d", "0badcafe1")
        .replace(
            "0123456789abcdef0123456789abcdef01234567",
            "89abcdef0123456789abcdef0123456789abcdef",
        )
        .replace("tokio-1.37.0", "tokio-1.40.0")
        .replace("index is 5", "index is 8");
    same(
        ("panic", "the index is 5", RUST),
        ("panic", "the index is 8", &later),
    );
}

#[test]
fn rust_another_function() {
    apart(
        ("panic", "x", RUST),
        ("panic", "x", &RUST.replace("Cart::total", "Cart::weight")),
    );
}

#[test]
fn rust_panics_without_backtrace() {
    let panic = |line: u32, id: u32| {
        format!("thread 'main' panicked at src/cart.rs:{line}:5:\ncart {id} is empty")
    };
    same(
        ("panic", "cart 1 is empty", &panic(3, 1)),
        ("panic", "cart 2 is empty", &panic(4, 2)),
    );
    apart(
        ("panic", "cart 1 is empty", &panic(3, 1)),
        ("panic", "no price", &panic(3, 1)),
    );
    let other_file = panic(3, 1).replace("cart.rs", "price.rs");
    apart(
        ("panic", "cart 1 is empty", &panic(3, 1)),
        ("panic", "cart 1 is empty", &other_file),
    );
}

#[test]
fn rust_frames_with_hashes() {
    let frame = |hash: &str| {
        format!("stack backtrace:\n   4:     0x55d0c8a1b2c3 - shop::cart::total::h{hash}\n")
    };
    same(
        ("panic", "x", &frame("0123456789abcdef")),
        ("panic", "x", &frame("fedcba9876543210")),
    );
}

const DOTNET: &str = r"System.Exception: checkout of cart 42 failed
 ---> System.InvalidOperationException: Sequence contains no elements
   at System.Linq.ThrowHelper.ThrowNoElementsException()
   at Shop.Cart.<TotalAsync>d__12.MoveNext() in C:\agent\_work\1\s\Shop\Cart.cs:line 42
   --- End of inner exception stack trace ---
   at Shop.Checkout.<>c__DisplayClass3_0.<Run>b__1(Order order) in C:\agent\_work\1\s\Shop\Checkout.cs:line 17
   at lambda_method12(Closure , Object , Object[] )
   at Microsoft.AspNetCore.Mvc.Infrastructure.ActionMethodExecutor.Execute()";

#[test]
fn csharp_over_a_release() {
    let later = DOTNET
        .replace("d__12", "d__14")
        .replace(":line 42", ":line 51")
        .replace("DisplayClass3_0", "DisplayClass4_1")
        .replace("b__1", "b__0")
        .replace(r"C:\agent\_work\1\s", "/home/runner/work/shop/shop")
        .replace("lambda_method12", "lambda_method977")
        .replace("cart 42", "cart 43");
    same(
        ("System.Exception", "checkout of cart 42 failed", DOTNET),
        ("System.Exception", "checkout of cart 43 failed", &later),
    );
    // Newer versions undo the compiler's names themselves.
    let resolved = DOTNET.replace(
        "Shop.Cart.<TotalAsync>d__12.MoveNext()",
        "Shop.Cart.TotalAsync()",
    );
    same(
        ("System.Exception", "x", DOTNET),
        ("System.Exception", "x", &resolved),
    );
}

#[test]
fn csharp_inner_exceptions_tell_wrapped_errors_apart() {
    let other = DOTNET.replace(
        "System.InvalidOperationException",
        "System.TimeoutException",
    );
    apart(
        ("System.Exception", "x", DOTNET),
        ("System.Exception", "x", &other),
    );
    let other = DOTNET.replace("TotalAsync", "WeightAsync");
    apart(
        ("System.Exception", "x", DOTNET),
        ("System.Exception", "x", &other),
    );
}

#[test]
fn csharp_without_symbols() {
    let release = "   at Shop.Cart.Total(Order order)\n   at Shop.Program.Main(String[] args)";
    let debug = "   at Shop.Cart.Total(Order order) in /src/Cart.cs:line 4\n   at Shop.Program.Main(String[] args) in /src/Program.cs:line 9";
    same(("E", "x", release), ("E", "x", debug));
}
