//! Against the `sourcemap` crate on generated maps and Mozilla's `source-map` package on real ones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use sourcemap::{SourceMap, SourceMapBuilder};

use super::block::find;
use super::content::{Part, find_function, lines};
use super::decode::{DecodeFault, Row, Sink, Summary, decode};
use super::names::NAMES_PER_CHUNK;
use super::survey::survey;
use super::*;

/// The rows of a map in memory, looked up as the store does.
#[derive(Default)]
struct Memory {
    blocks: BTreeMap<(u32, u32), Vec<u8>>,
    sources: BTreeMap<u32, String>,
    names: BTreeMap<u32, Vec<u8>>,
    text: BTreeMap<(u32, u32), String>,
    functions: BTreeMap<(u32, u32, u32), Vec<u8>>,
}

impl Sink for Memory {
    type Fault = String;

    fn put(&mut self, row: Row<'_>) -> Result<(), String> {
        let fresh = match row {
            Row::Block(block) => self
                .blocks
                .insert((block.line, block.column), block.data.to_vec())
                .is_none(),
            Row::Source { index, path, .. } => {
                self.sources.insert(index, path.to_owned()).is_none()
            }
            Row::Names { chunk, list } => self.names.insert(chunk, list.to_vec()).is_none(),
            Row::Content {
                source,
                part: Part::Text { line, text },
            } => self.text.insert((source, line), text.to_owned()).is_none(),
            Row::Content {
                source,
                part: Part::Functions { line, column, data },
            } => self
                .functions
                .insert((source, line, column), data.to_vec())
                .is_none(),
        };
        if fresh {
            Ok(())
        } else {
            Err("a row with a key that is there already".to_owned())
        }
    }
}

/// Source, line and column from 0, name.
type Found = (String, u32, u32, Option<String>);

impl Memory {
    fn original(&self, line: u32, column: u32) -> Option<Original> {
        let (&(first, _), data) = self.blocks.range(..=(line, column)).next_back()?;
        find(data, first, line, column)?.original
    }

    fn look_up(&self, line: u32, column: u32) -> Option<Found> {
        let original = self.original(line, column)?;
        let name = original.name.and_then(|name| {
            let list = self.names.get(&(name / NAMES_PER_CHUNK))?;
            names::find(list, name % NAMES_PER_CHUNK).map(str::to_owned)
        });
        Some((
            self.sources.get(&original.source)?.clone(),
            original.line,
            original.column,
            name,
        ))
    }

    fn function(&self, line: u32, column: u32) -> Option<&str> {
        let Original {
            source,
            line,
            column,
            ..
        } = self.original(line, column)?;
        let (&(of, first, _), data) = self
            .functions
            .range(..=(source, line, column))
            .next_back()?;
        find_function(data, first, line, column).filter(|_| of == source)
    }

    fn text(&self, line: u32, column: u32) -> Option<&str> {
        let original = self.original(line, column)?;
        let (&(of, first), text) = self
            .text
            .range(..=(original.source, original.line))
            .next_back()?;
        let mut found = lines(text, first, original.line..original.line + 1);
        found
            .next()
            .filter(|_| of == original.source)
            .map(|(_, text)| text)
    }
}

fn read(text: &str) -> Result<(Memory, Summary), String> {
    let mut memory = Memory::default();
    let survey = survey(text.as_bytes()).map_err(|fault| fault.to_string())?;
    match decode(text.as_bytes(), &survey, &mut memory) {
        Ok(summary) => Ok((memory, summary)),
        Err(DecodeFault::Map(fault)) => Err(fault.to_string()),
        Err(DecodeFault::Sink(fault)) => panic!("{fault}"),
    }
}

fn generated() -> impl Strategy<Value = (SourceMap, Vec<(u32, u32)>)> {
    let token = (
        0..30_u32,
        0..400_u32,
        0..5_u32,
        0..500_u32,
        0..90_u32,
        proptest::option::of(0..700_u32),
    );
    (
        prop::collection::vec(token, 0..600),
        prop::collection::vec((0..32_u32, 0..420_u32), 50),
    )
        .prop_map(|(mut tokens, asked)| {
            tokens.sort_by_key(|token| (token.0, token.1));
            tokens.dedup_by_key(|token| (token.0, token.1));
            let mut builder = SourceMapBuilder::new(Some("out.js"));
            for (line, column, source, source_line, source_column, name) in tokens {
                let source = format!("src/{source}.ts");
                let name = name.map(|name| format!("name{name}"));
                builder.add(
                    line,
                    column,
                    source_line,
                    source_column,
                    Some(&source),
                    name.as_deref(),
                    false,
                );
            }
            (builder.into_sourcemap(), asked)
        })
}

fn text_of(map: &SourceMap) -> String {
    let mut text = Vec::new();
    map.to_writer(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn expected(map: &SourceMap, line: u32, column: u32) -> Option<Found> {
    let token = map
        .lookup_token(line, column)
        .filter(|token| token.get_dst_line() == line)?;
    let source = token.get_source()?.to_owned();
    Some((
        source,
        token.get_src_line(),
        token.get_src_col(),
        token.get_name().map(str::to_owned),
    ))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn look_ups_equal_those_of_the_sourcemap_crate((map, asked) in generated()) {
        let (memory, summary) = read(&text_of(&map)).unwrap();
        prop_assert_eq!(summary.tokens, u64::from(map.get_token_count()));
        for (line, column) in asked {
            prop_assert_eq!(memory.look_up(line, column), expected(&map, line, column), "{}:{}", line, column);
        }
    }

    #[test]
    fn hostile_mappings_are_refused_or_read_but_never_panic(
        mappings in "[A-Za-z0-9+/,;]{0,200}", sources in 0..3_usize, names in 0..3_usize,
    ) {
        let map = json!({
            "version": 3, "mappings": mappings, "sources": vec!["s"; sources], "names": vec!["n"; names],
        });
        if let Ok((memory, summary)) = read(&map.to_string()) {
            for line in 0..summary.lines {
                memory.look_up(line, u32::MAX);
            }
        }
    }

    #[test]
    fn any_document_is_refused_or_read_but_never_panics(text in "[{}\\[\\]:,\"a-z0-9]{0,60}|\\PC{0,60}") {
        let _ = read(&text);
    }
}

/// Lines of `line column source line column name`, from 1, written by Mozilla's package.
#[track_caller]
fn check_positions(map: &str, positions: &str) {
    let (memory, _) = read(map).unwrap();
    let mut mapped = 0;
    for position in positions.lines() {
        let fields: Vec<&str> = position.split('\t').collect();
        let number = |index: usize| fields[index].parse::<u32>().unwrap();
        let expected = (!fields[2].is_empty()).then(|| {
            let name = Some(fields[5].to_owned()).filter(|name| !name.is_empty());
            (fields[2].to_owned(), number(3) - 1, number(4) - 1, name)
        });
        mapped += usize::from(expected.is_some());
        assert_eq!(
            memory.look_up(number(0) - 1, number(1) - 1),
            expected,
            "{position}"
        );
    }
    assert!(mapped > 150, "{mapped}");
}

const ESBUILD: &str = include_str!("../../../tests/data/app.min.js.map");
const TERSER: &str = include_str!("../../../tests/data/terser.min.js.map");

#[test]
fn real_bundles_as_mozilla_reads_them() {
    check_positions(
        ESBUILD,
        include_str!("../../../tests/data/app.min.positions.tsv"),
    );
    check_positions(
        TERSER,
        include_str!("../../../tests/data/terser.min.positions.tsv"),
    );
}

#[test]
fn lines_and_functions_of_real_bundles() {
    let (memory, _) = read(ESBUILD).unwrap();
    for (column, function, text) in [
        (
            416,
            "lineTotal",
            "  return item.quantity * item.price!.cents + label.length * 0;",
        ),
        (340, "computeTotal", "      total += lineTotal(item);"),
        (506, "checkout", "  return cart.computeTotal();"),
        (828, "handleClick", "    const total = checkout(skus);"),
        (
            743,
            "onClick",
            "  onClick: (skus: string[]) => handleClick(skus),",
        ),
        (664, "parseCatalog", "  return JSON.parse(text).name;"),
        (566, "reloadCatalog", "  return parseCatalog(answer);"),
        (767, "onLoad", "      await reloadCatalog(\"/catalog\");"),
    ] {
        assert_eq!(memory.function(0, column - 1), Some(function), "{column}");
        assert_eq!(memory.text(0, column - 1), Some(text), "{column}");
    }
}

fn index_map() -> Value {
    let map = |source: &str, mappings: &str| {
        json!({"version": 3, "sources": [source], "names": ["n", source], "mappings": mappings,
               "sourcesContent": [format!("function {}() {{          }}", source.trim_end_matches(".ts"))]})
    };
    json!({"version": 3, "sections": [
        {"offset": {"line": 0, "column": 0}, "map": map("a.ts", "AAAA,UAAgBA;AACA")},
        {"map": map("b.ts", "CAAAC,8BAAA;AAAe"), "offset": {"line": 1, "column": 10}},
        {"offset": {"line": 1, "column": 30}, "map": map("c.ts", "AAAAC")},
    ]})
}

#[test]
fn index_maps_have_their_sections_in_place() {
    let (memory, summary) = read(&index_map().to_string()).unwrap();
    let at = |line, column| {
        memory
            .look_up(line, column)
            .map(|(source, line, column, name)| {
                format!("{source}:{line}:{column} {}", name.unwrap_or_default())
            })
    };
    assert_eq!(at(0, 0).as_deref(), Some("a.ts:0:0 "));
    assert_eq!(at(0, 99).as_deref(), Some("a.ts:0:16 n"));
    assert_eq!(at(1, 9).as_deref(), Some("a.ts:1:16 "));
    // Where the second section has begun but says nothing yet, the first one does not either.
    assert_eq!(at(1, 10), None);
    assert_eq!(at(1, 11).as_deref(), Some("b.ts:0:0 b.ts"));
    assert_eq!(at(1, 29).as_deref(), Some("b.ts:0:0 b.ts"));
    // What the second section says beyond the beginning of the third does not count.
    assert_eq!(at(1, 30).as_deref(), Some("c.ts:0:0 c.ts"));
    assert_eq!(at(1, 999).as_deref(), Some("c.ts:0:0 c.ts"));
    assert_eq!(at(2, 0), None);
    assert_eq!(summary.lines, 3);
    assert_eq!(memory.function(0, 99), Some("a"));
}

#[test]
fn sections_keep_their_roots() {
    let mut map = index_map();
    map["sections"][1]["map"]["sourceRoot"] = json!("https://src.example/lib/");
    let (memory, _) = read(&map.to_string()).unwrap();
    let sources: Vec<_> = memory.sources.values().map(String::as_str).collect();
    assert_eq!(sources, ["a.ts", "https://src.example/lib/b.ts", "c.ts"]);
}

#[test]
fn keys_may_come_in_any_order_and_values_may_be_odd() {
    let text = r#"{"mappings":"AAAAA","sourcesContent":[null,"x","more"],"x_a":[{"mappings":1}],"names":["n",5],"file":7,
        "sources":["a.ts",null],"sourceRoot":null,"version":3,"sections_":0}"#;
    let (memory, summary) = read(text).unwrap();
    assert_eq!(
        memory.look_up(0, 5),
        Some(("a.ts".to_owned(), 0, 0, Some("n".to_owned())))
    );
    assert_eq!(memory.sources.values().collect::<Vec<_>>(), ["a.ts", ""]);
    assert_eq!(
        summary,
        Summary {
            tokens: 1,
            lines: 1
        }
    );
}

#[test]
fn faults_of_the_mappings_are_named() {
    let map = |mappings: &str| {
        json!({"version": 3, "sources": ["a.ts"], "names": [], "mappings": mappings}).to_string()
    };
    for (mappings, fault) in [
        (
            "!!!",
            "mappings have a character that is no base64 digit at character 0",
        ),
        (
            "AAAA,ACAA",
            "mappings have source 1, outside 0 to 0, at character 9",
        ),
        ("AAAA;DAAA", "mappings have column -1"),
    ] {
        let found = read(&map(mappings)).err().unwrap();
        assert!(
            found.starts_with(&format!("Invalid source map format: {fault}")),
            "{found}"
        );
    }
}

#[test]
fn sources_below_a_root() {
    for (root, source, expected) in [
        (None, "../src/a.ts", "../src/a.ts"),
        (Some(""), "webpack://app/./a.ts", "webpack://app/./a.ts"),
        (
            Some("https://src.example/"),
            "../src/a.ts",
            "https://src.example/src/a.ts",
        ),
        (
            Some("https://src.example/lib"),
            "a.ts",
            "https://src.example/lib/a.ts",
        ),
        (
            Some("https://src.example"),
            "a.ts",
            "https://src.example/a.ts",
        ),
        (Some("src"), "./a.ts", "src/a.ts"),
        (Some("src"), "../a.ts", "a.ts"),
        (Some("src"), "../../a.ts", "../a.ts"),
        (Some("/src/"), "../../a.ts", "/a.ts"),
        (Some("src"), "/a.ts", "/a.ts"),
        (Some("src"), "https://other/a.ts", "https://other/a.ts"),
    ] {
        assert_eq!(resolve(root, source), expected, "{root:?} {source}");
    }
}

#[test]
fn lookup_paths() {
    for (file, path) in [
        ("https://shop.example/assets/app.js", "/assets/app.js"),
        ("https://shop.example", "/"),
        ("http://a:8080/app.js?v=3", "/app.js?v=3"),
        ("/assets/app.js", "/assets/app.js"),
        ("app.js", "app.js"),
        ("webpack-internal:///./src/a.js", "/./src/a.js"),
    ] {
        assert_eq!(lookup_path(file), path, "{file}");
    }
}

#[test]
fn plain_paths() {
    for (file, path) in [
        ("https://a.example/js/app.js?v=%31", "/js/app.js?v=%31"),
        (
            "https://a.example/p/%5Bid%5D%20\u{e9}.js?v=%31",
            "/p/[id] \u{e9}.js?v=%31",
        ),
        ("/p/[id]%20%C3%A9.js", "/p/[id] \u{e9}.js"),
        ("/a%2Fb%3Fc%23d%2541%00.js", "/a%2Fb%3Fc%23d%2541%00.js"),
        ("/%ff.js", "/%ff.js"),
    ] {
        assert_eq!(plain_path(file), path, "{file}");
    }
}
