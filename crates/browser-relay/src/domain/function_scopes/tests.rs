use super::*;
use proptest::prelude::*;

fn breakpoints(text: &str) -> Vec<Breakpoint> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new();
    for character in text.chars() {
        scanner.push(character, &mut |breakpoint| found.push(breakpoint));
    }
    found
}

/// Each `§name§` in the text says which function encloses that place (`§§`: none).
#[track_caller]
fn check(marked: &str) {
    let mut text = String::new();
    let mut expected = Vec::new();
    for (index, part) in marked.split('§').enumerate() {
        if index % 2 == 0 {
            text.push_str(part);
            continue;
        }
        let line = text.matches('\n').count() as u32;
        let column = text.rsplit('\n').next().unwrap().encode_utf16().count() as u32;
        expected.push((line, column, part));
    }
    let found = breakpoints(&text);
    assert!(!expected.is_empty());
    for (line, column, name) in expected {
        let last = found
            .iter()
            .rev()
            .find(|b| (b.line, b.column) <= (line, column));
        let function = last.and_then(|b| b.function.as_deref()).unwrap_or_default();
        assert_eq!(function, name, "at {line}:{column} of {text}\n{found:?}");
    }
}

#[test]
fn declarations() {
    check("§§function f(a, b) { §f§return a }\n§§x()");
    check("async function load() { await §load§x }");
    check("function* walk() { §walk§ } export default function main() { §main§ }");
    check("function outer() { function inner() { §inner§ } §outer§ }");
    check("function (x) { §§ }");
}

#[test]
fn expressions() {
    check("const f = function (a) { §f§ }; const g = function named() { §named§ };");
    check("const f = (a) => { §f§ }; let g = async (a) => { §g§ }; var h = a => { §h§ }");
    check("const f = (a) => §f§a + 1; §§x()");
    check("const button = { onClick: (skus) => §onClick§handle(skus), other: 1, §§x };");
    check("const a = x => y => §a§x + y\nconst b = §§1");
    check("module.exports.run = function () { §run§ }; a.b = () => §b§1;");
    check("items.forEach((item) => { §§item }); function f() { items.map(i => §f§i) }");
    check("handler = async () => { §handler§ }");
    check("const f = (a, b = () => 1) => { §f§ }");
}

#[test]
fn classes_and_objects() {
    check(
        "class Cart extends Base(Mixin) { constructor(a) { §new Cart§ } total() { §total§ } §§ }",
    );
    check(
        "class A {\n  x = 1\n  run() {\n    §run§\n  }\n  static async *go() { §go§ }\n  get size() { §size§ }\n}",
    );
    check("class A { handle = (e) => { §handle§ }; #secret() { §#secret§ } }");
    check(
        "const api = { load(x) { §load§ }, async save() { §save§ }, 'quoted': function () { §§ } }",
    );
    check("const A = class { constructor() { §new A§ } }");
}

#[test]
fn control_flow_opens_no_function() {
    check(
        "function f() { if (a) { §f§ } for (const x of y) { §f§ } while (b) { §f§ } switch (c) { case g(x): { §f§ } } }",
    );
    check("function f() { try { §f§ } catch (e) { §f§ } }");
    check("const x = c ? g(a) : { b: §§1 };");
    check("function f() { return g(a) ? { b: §f§1 } : h }");
}

#[test]
fn typescript() {
    check("export class ShoppingCart {\n  computeTotal(): number {\n    §computeTotal§\n  }\n}");
    check("function pick<T extends object>(x: T): Array<T> | null { §pick§ }");
    check("const f: Handler<string> = (x: string): void => { §f§ }");
    check(
        "class A { private run<T>(x: T): Promise<Map<string, T[]>> { §run§ } handler: Handler = () => { §handler§ } }",
    );
    check("const first = <T,>(x: T[]) => { §first§ }");
}

#[test]
fn what_only_looks_like_code() {
    check("function f() { const s = '} function g() {'; /* } */ // }\n §f§ }");
    check("function f() { return `a ${items.map((x) => `}${x}`)} {`; §f§ }\n§§");
    check("function App() {\n  return <p>Don't {name}</p>;\n  §App§\n}\n§§");
    check("function f() { const r = /[{/]/g; §f§ }\n§§");
}

#[test]
fn columns_count_utf_16_units() {
    let found = breakpoints("/*\u{1F600}*/f = () => { x }");
    assert_eq!(
        found[0],
        Breakpoint {
            line: 0,
            column: 16,
            function: Some("f".to_owned())
        }
    );
}

#[test]
fn hopeless_nesting_gives_up() {
    let found = breakpoints(&format!("function f() {{ {}", "(".repeat(100_000)));
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].function, None);
}

proptest! {
    #[test]
    fn any_text_is_read_and_breakpoints_stay_in_order(
        text in "(?s)([(){}\\[\\]=>:;,.`$/'\"*<\\n ]|function|class|async|const|f|é|x){0,80}",
    ) {
        let found = breakpoints(&text);
        for pair in found.windows(2) {
            prop_assert!((pair[0].line, pair[0].column) <= (pair[1].line, pair[1].column));
            prop_assert_ne!(&pair[0].function, &pair[1].function);
        }
    }
}
