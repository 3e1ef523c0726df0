//! Traces of Python, JavaScript, Ruby and PHP.

use super::{apart, same};

const FLASK: &str = r#"Traceback (most recent call last):
  File "/srv/shop/releases/20240501120000/.venv/lib/python3.11/site-packages/flask/app.py", line 1484, in full_dispatch_request
    rv = self.dispatch_request()
  File "/srv/shop/releases/20240501120000/shop/views.py", line 88, in checkout
    invoice = make_invoice(order)
  File "/srv/shop/releases/20240501120000/shop/billing/invoice.py", line 41, in make_invoice
    total = sum([line.price * line.count for line in order.lines])
  File "/srv/shop/releases/20240501120000/shop/billing/invoice.py", line 41, in <listcomp>
    total = sum([line.price * line.count for line in order.lines])
TypeError: unsupported operand type(s) for *: 'NoneType' and 'int'
"#;

/// The next release, on a newer Python, which runs comprehensions in their function.
const FLASK_LATER: &str = r#"Traceback (most recent call last):
  File "/srv/shop/releases/20240617093012/.venv/lib/python3.12/site-packages/flask/app.py", line 1510, in full_dispatch_request
    rv = self.dispatch_request()
         ^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/releases/20240617093012/shop/views.py", line 97, in checkout
    invoice = make_invoice(order)
              ^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/releases/20240617093012/shop/billing/invoice.py", line 44, in make_invoice
    total = sum([line.price * line.count for line in order.lines])
                 ~~~~~~~~~~~^~~~~~~~~~~~
TypeError: unsupported operand type(s) for *: 'NoneType' and 'int'
"#;

#[test]
fn python_over_a_release() {
    let message = "unsupported operand type(s) for *: 'NoneType' and 'int'";
    same(
        ("TypeError", message, FLASK),
        ("TypeError", message, FLASK_LATER),
    );
    let crlf = FLASK.replace('\n', "\r\n");
    same(("TypeError", message, FLASK), ("TypeError", message, &crlf));
}

#[test]
fn python_another_function() {
    let refund = FLASK.replace("make_invoice", "make_refund");
    apart(("TypeError", "x", FLASK), ("TypeError", "x", &refund));
    apart(("TypeError", "x", FLASK), ("ValueError", "x", FLASK));
}

#[test]
fn python_messages_that_quote_frames() {
    let quoting = |file: &str| format!("{FLASK}detail: File \"{file}\", line 4, in other\n");
    same(
        ("TypeError", "x", &quoting("a.py")),
        ("TypeError", "x", &quoting("b.py")),
    );
}

#[test]
fn python_causes() {
    let chain = |cause: &str, function: &str, line: u32| {
        format!(
            r#"Traceback (most recent call last):
  File "/app/shop/stock.py", line {line}, in {function}
    return self.client.get(sku)
{cause}: nothing for SKU-{line}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/shop/cart.py", line 20, in add
    raise OutOfStock(sku)
shop.errors.OutOfStock: SKU-{line}
"#
        )
    };
    let report = |trace: &str| stable("shop.errors.OutOfStock", trace);
    assert_eq!(
        report(&chain("KeyError", "find", 9)),
        report(&chain("KeyError", "find", 31))
    );
    assert_ne!(
        report(&chain("KeyError", "find", 9)),
        report(&chain("TimeoutError", "find", 9))
    );
    assert_ne!(
        report(&chain("KeyError", "find", 9)),
        report(&chain("KeyError", "load", 9))
    );
}

#[test]
fn python_groups_whatever_fails_first() {
    let group = |members: &[(&str, u32)]| {
        let head = "  + Exception Group Traceback (most recent call last):\n  |   File \"/app/sync.py\", line 8, in sync_all\n  |     await group\n  | ExceptionGroup: unhandled errors in a TaskGroup\n";
        let member = |(index, (name, line)): (usize, &(&str, u32))| {
            let edge = if index == 0 { "  +-+" } else { "    +" };
            format!(
                "{edge}---------------- {} ----------------\n    | Traceback (most recent call last):\n    |   File \"/app/sync.py\", line {line}, in sync_one\n    |     x\n    | {name}: shop {line}\n",
                index + 1
            )
        };
        let members: Vec<_> = members.iter().enumerate().map(member).collect();
        let end = "    +------------------------------------\n";
        stable("ExceptionGroup", &[head, &members.concat(), end].concat())
    };
    let both = group(&[("TimeoutError", 14), ("ValueError", 16)]);
    assert_eq!(both, group(&[("ValueError", 16), ("TimeoutError", 15)]));
    assert_eq!(
        both,
        group(&[("ValueError", 16), ("TimeoutError", 14), ("ValueError", 16)])
    );
    assert_ne!(both, group(&[("ValueError", 16)]));
}

#[test]
fn python_recursion_ends_anywhere() {
    let walk = |depth: usize| {
        let head = "Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in main\n    walk(tree)\n";
        let frame = |level: usize| {
            let name = if level.is_multiple_of(2) {
                "walk"
            } else {
                "children"
            };
            format!("  File \"/app/tree.py\", line {level}, in {name}\n    ...\n")
        };
        let frames: Vec<_> = (0..depth).map(frame).collect();
        let end = "  [Previous line repeated 3 more times]\nRecursionError: deep";
        stable("RecursionError", &[head, &frames.concat(), end].concat())
    };
    assert_eq!(walk(900), walk(901));
    assert_eq!(walk(900), walk(40));
}

#[test]
fn python_scripts_have_no_functions_to_tell_them_apart() {
    let script = |line: u32| {
        format!(
            "Traceback (most recent call last):\n  File \"import.py\", line {line}, in <module>\n    x\nValueError: y"
        )
    };
    same(
        ("ValueError", "row 5 is short", &script(3)),
        ("ValueError", "row 9 is short", &script(4)),
    );
    apart(
        ("ValueError", "row 5 is short", &script(3)),
        ("ValueError", "no header", &script(3)),
    );
}

#[test]
fn only_libraries_at_work() {
    let worker = |line: u32| {
        format!(
            "Traceback (most recent call last):\n  File \"/usr/lib/python3.12/site-packages/kombu/connection.py\", line {line}, in _connect\n    x\nOperationalError: y"
        )
    };
    same(
        (
            "OperationalError",
            "[Errno 111] refused by 10.0.0.1:5672",
            &worker(472),
        ),
        (
            "OperationalError",
            "[Errno 111] refused by 10.0.0.9:5672",
            &worker(488),
        ),
    );
    apart(
        ("OperationalError", "refused", &worker(472)),
        ("OperationalError", "timed out", &worker(472)),
    );
}

const V8_BUNDLE: &str = "TypeError: Cannot read properties of undefined (reading 'price')
    at Cart.totalPrice (https://shop.example/assets/index-BX3k9a2Z.js:2:90210)
    at https://shop.example/assets/index-BX3k9a2Z.js:2:91734
    at renderSummary (https://shop.example/assets/checkout-DkLmNoPq.js:1:411)
    at Qo (https://shop.example/assets/vendor-9fceb02d.js:9:4711)";

const V8_BUNDLE_LATER: &str = "TypeError: Cannot read properties of undefined (reading 'price')
    at Cart.totalPrice (https://cdn.shop.example/assets/index-Cq81_ZxT.js?v=7:2:90388)
    at https://cdn.shop.example/assets/index-Cq81_ZxT.js?v=7:2:91001
    at renderSummary (https://cdn.shop.example/assets/checkout-B2cD-efG.js?v=7:1:422)
    at Yo (https://cdn.shop.example/assets/vendor-0a1b2c3d.js?v=7:9:5000)";

#[test]
fn bundles_over_a_release() {
    let message = "Cannot read properties of undefined (reading 'price')";
    same(
        ("TypeError", message, V8_BUNDLE),
        ("TypeError", message, V8_BUNDLE_LATER),
    );
    let other = V8_BUNDLE.replace("totalPrice", "totalWeight");
    apart(
        ("TypeError", message, V8_BUNDLE),
        ("TypeError", message, &other),
    );
}

#[test]
fn minified_names_do_not_make_one_group_of_all() {
    let bundle = |names: [&str; 3], hash: &str, column: u32| {
        let lines = names.map(|name| {
            format!("    at {name} (https://shop.example/static/js/main.{hash}.js:1:{column})\n")
        });
        format!("TypeError: x\n{}", lines.concat())
    };
    let first = bundle(["t.a", "n", "Xe"], "3f2a1b9c", 10_411);
    let later = bundle(["e.a", "r", "Ye"], "0a1b2c3d", 20_999);
    let message = "cart 42 has no lines";
    same(
        ("TypeError", message, &first),
        ("TypeError", "cart 7 has no lines", &later),
    );
    apart(
        ("TypeError", message, &first),
        ("TypeError", "e is not a function", &first),
    );
    // Names that minifiers leave alone still count.
    let named = bundle(["t.onSubmit", "n", "Xe"], "3f2a1b9c", 10_411);
    apart(
        ("TypeError", message, &first),
        ("TypeError", message, &named),
    );
}

#[test]
fn browsers_agree() {
    let chrome = "TypeError: x
    at Cart.total (https://shop.example/src/cart.ts:12:20)
    at checkout (https://shop.example/src/checkout.ts:40:5)";
    let firefox = "total@https://shop.example/src/cart.ts:12:15
checkout@https://shop.example/src/checkout.ts:40:18
";
    same(("TypeError", "a", chrome), ("TypeError", "b", firefox));
}

#[test]
fn node_over_a_release() {
    let trace = |line: u32, node: &str| {
        format!(
            "Error: connect ECONNREFUSED 10.0.0.5:{line}
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1{line}:16)
    at Pool.connect (/app/node_modules/pg-pool/index.js:{line}:11)
    at async loadCart (/app/releases/{node}/src/cart.js:{line}:20)
    at async /app/releases/{node}/src/server.js:{line}:5 {{
  errno: -111
}}"
        )
    };
    same(
        (
            "Error",
            "connect ECONNREFUSED 10.0.0.5:5432",
            &trace(12, "v1.4.2"),
        ),
        (
            "Error",
            "connect ECONNREFUSED 10.0.0.6:5432",
            &trace(48, "v1.5.0"),
        ),
    );
    let orders = trace(12, "v1.4.2").replace("loadCart", "loadOrders");
    apart(
        ("Error", "x", &trace(12, "v1.4.2")),
        ("Error", "x", &orders),
    );
}

#[test]
fn node_methods_of_different_classes() {
    let trace = |name: &str| {
        format!("Error: x\n    at {name} (/srv/repo.js:3:4)\n    at main (/srv/main.js:1:1)")
    };
    let users = trace("UserRepository.find");
    let orders = trace("OrderRepository.find");
    apart(("Error", "x", &users), ("Error", "x", &orders));
    for same_as_users in [
        "async UserRepository.find",
        "UserRepository.find [as get]",
        "_UserRepository.find",
        "UserRepository.prototype.find",
    ] {
        same(
            ("Error", "x", &users),
            ("Error", "x", &trace(same_as_users)),
        );
    }
    let bare = trace("find");
    for noise in [
        "Object.find",
        "Proxy.find",
        "async Object.find",
        "Function.find",
        "exports.find",
        "module.exports.find",
        "Object.find [as load]",
        "t.find",
    ] {
        same(("Error", "x", &bare), ("Error", "x", &trace(noise)));
    }
    // Browsers do not agree on them.
    let web = |name: &str| {
        users
            .replace("UserRepository.find", name)
            .replace("/srv/", "https://h/src/")
    };
    same(
        ("Error", "x", &web("UserRepository.find")),
        ("Error", "x", &web("find")),
    );
    let module = users.replace("/srv/", "file:///srv/");
    apart(
        ("Error", "x", &module),
        ("Error", "x", &module.replace("User", "Order")),
    );
}

#[test]
fn directories_made_for_a_while() {
    let trace = |root: &str| {
        format!(
            "Traceback (most recent call last):\n  File \"{root}/job.py\", line 3, in run\n    x\nE: y"
        )
    };
    for (left, right) in [
        ("/tmp/tmpab12cd34", "/tmp/tmpx7f3k_2q"),
        ("/tmp/_MEI12345", "/tmp/_MEI98765"),
        ("/tmp/_MEIk2x9Qa/app", "/tmp/_MEI98765/app"),
        ("/tmp/tmp.Xa9Qk2LmPz", "/tmp/tmp.b3TyU8wQ1s"),
    ] {
        same(("E", "x", &trace(left)), ("E", "x", &trace(right)));
    }
    apart(
        ("E", "x", &trace("/srv/tmpfile")),
        ("E", "x", &trace("/srv/tmpdir")),
    );
}

#[test]
fn node_without_the_app() {
    let refused = "Error: getaddrinfo ENOTFOUND db.internal
    at GetAddrInfoReqWrap.onlookupall [as oncomplete] (node:dns:120:26)";
    apart(
        ("Error", "getaddrinfo ENOTFOUND db.internal", refused),
        ("Error", "getaddrinfo ENOTFOUND cache.internal", refused),
    );
}

const RAILS: &str = "/srv/shop/releases/20240501120000/app/models/cart.rb:42:in `block in total': undefined method `price' for nil:NilClass (NoMethodError)
\tfrom /usr/local/bundle/gems/activerecord-7.0.4/lib/active_record/relation.rb:88:in `each'
\tfrom /srv/shop/releases/20240501120000/app/models/cart.rb:41:in `total'
\tfrom /srv/shop/releases/20240501120000/app/controllers/carts_controller.rb:12:in `show'
";

#[test]
fn ruby_over_a_release() {
    let later = RAILS
        .replace("20240501120000", "20240617093012")
        .replace("cart.rb:4", "cart.rb:5")
        .replace("7.0.4", "7.1.0");
    same(
        ("NoMethodError", "x", RAILS),
        ("NoMethodError", "x", &later),
    );
    // The next version of Ruby names the class and writes other quotes.
    let newer = RAILS
        .replace("`block in total'", "'block in Cart#total'")
        .replace("`total'", "'Cart#total'")
        .replace("`show'", "'CartsController#show'");
    same(
        ("NoMethodError", "x", RAILS),
        ("NoMethodError", "x", &newer),
    );
}

#[test]
fn ruby_another_method() {
    let other = RAILS.replace("`show'", "`update'");
    apart(
        ("NoMethodError", "x", RAILS),
        ("NoMethodError", "x", &other),
    );
    apart(("NoMethodError", "x", RAILS), ("ArgumentError", "x", RAILS));
}

#[test]
fn ruby_scripts() {
    let script = "import.rb:5:in `<main>': row 5 is short (RuntimeError)";
    apart(
        ("RuntimeError", "row 5 is short", script),
        ("RuntimeError", "no header", script),
    );
}

const LARAVEL: &str = r"RuntimeException: cart 42 has no lines in /var/www/releases/118/app/Cart.php:42
Stack trace:
#0 /var/www/releases/118/app/Checkout.php(12): App\Cart->total(42, 'EUR')
#1 /var/www/releases/118/vendor/laravel/framework/src/Illuminate/Routing/Controller.php(54): App\Checkout->run(Object(Request))
#2 /var/www/releases/118/routes/web.php(9): Closure->__invoke()
#3 [internal function]: {closure}(Array)
#4 {main}";

#[test]
fn php_over_a_release() {
    let later = LARAVEL
        .replace("/118/", "/131/")
        .replace("42", "977")
        .replace("(12)", "(15)");
    same(
        ("RuntimeException", "cart 42 has no lines", LARAVEL),
        ("RuntimeException", "cart 977 has no lines", &later),
    );
}

#[test]
fn php_closures_and_anonymous_classes() {
    let trace = |closure: &str, class: &str| {
        format!(
            "#0 /app/src/a.php(3): {closure}(1)\n#1 /app/src/b.php(4): {class}->run()\n#2 {{main}}"
        )
    };
    let first = trace(
        r"Shop\{closure:Shop\Cart::total():12}",
        "class@anonymous\0/app/a.php:9$0",
    );
    let later = trace(
        r"Shop\{closure:Shop\Cart::total():19}",
        "class@anonymous\0/app/a.php:11$3",
    );
    same(("E", "x", &first), ("E", "x", &later));
}

#[test]
fn php_another_call() {
    let other = LARAVEL.replace("->total(", "->weight(");
    apart(
        ("RuntimeException", "x", LARAVEL),
        ("RuntimeException", "x", &other),
    );
}

fn stable(exception_type: &str, trace: &str) -> super::GroupingKey {
    super::key((exception_type, "message", trace))
}
