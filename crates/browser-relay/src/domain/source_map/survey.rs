//! The first reading of a map: is it one, and how much of everything is there.
//!
//! The second reading ([`decode`](super::decode)) can then check every index against its bound whatever order the
//! keys of the document come in, and knows where each section of an index map begins.

use std::io::Read;

use super::super::debug_id::DebugId;
use super::super::json::{Duplicates, Json, Kind, LoneSurrogate};
use super::MapFault;

const MOST_SECTIONS: usize = 1000;
const MOST_SOURCES: u32 = 100_000;
/// Bytes of a `sourceRoot`.
const LONGEST_ROOT: usize = 1024;

/// What a map holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// One for a plain map.
    pub(super) sections: Vec<Section>,
    /// Whether the document has `sections`.
    pub(super) is_index: bool,
    /// `debug_id` or `debugId` of the document.
    pub(crate) debug_id: Option<DebugId>,
}

/// A map with its place in the generated code.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// From 0.
    pub(super) line: u32,
    /// From 0.
    pub(super) column: u32,
    pub(super) sources: u32,
    pub(super) names: u32,
    pub(super) root: Option<String>,
    /// Numbers of the sources that are not of the app, in order.
    pub(super) ignored: Vec<u32>,
}

/// A reader for the text of a map; nothing of it is kept but what is asked for.
pub(super) fn reader<R: Read>(input: R) -> Json<R> {
    Json::new(input, Duplicates::Ignore, LoneSurrogate::Replace)
}

/// Reads the whole document.
pub(crate) fn survey(input: impl Read) -> Result<Survey, MapFault> {
    let mut json = reader(input);
    let top = read_map(&mut json, true)?;
    json.end()?;
    let is_index = top.sections.is_some();
    let sections = top.sections.unwrap_or_else(|| vec![top.section]);
    let later = |pair: &[Section]| (pair[0].line, pair[0].column) < (pair[1].line, pair[1].column);
    if !sections.windows(2).all(later) {
        return Err(MapFault::at(
            "sections are not in the order of their offsets",
        ));
    }
    check_sources(&sections)?;
    Ok(Survey {
        sections,
        is_index,
        debug_id: top.debug_id,
    })
}

fn check_sources(sections: &[Section]) -> Result<(), MapFault> {
    let sources = sections.iter().map(|section| u64::from(section.sources));
    if sources.sum::<u64>() > u64::from(MOST_SOURCES) {
        return Err(MapFault::at(format!("more than {MOST_SOURCES} sources")));
    }
    Ok(())
}

struct Surveyed {
    section: Section,
    sections: Option<Vec<Section>>,
    debug_id: Option<DebugId>,
}

fn read_map<R: Read>(json: &mut Json<R>, may_have_sections: bool) -> Result<Surveyed, MapFault> {
    if json.kind()? != Kind::Object {
        return Err(MapFault::no_map());
    }
    let mut section = Section::default();
    let mut debug_id = None;
    let (mut version, mut sources, mut names, mut mappings, mut sections) =
        (None, None, None, None, None);
    let mut contents = None;
    let mut members = json.open_object()?;
    while let Some(key) = json.next_member(&mut members)? {
        let twice = match key.as_str() {
            "version" => version.replace(read_version(json)?).is_some(),
            "sources" => sources.replace(count(json)?).is_some(),
            "names" => names.replace(count(json)?).is_some(),
            "mappings" => mappings.replace(is_text(json)?).is_some(),
            "sourcesContent" => contents.replace(json.skip()?).is_some(),
            "sections" if may_have_sections => sections.replace(read_sections(json)?).is_some(),
            "sections" => return Err(MapFault::at("sections inside of sections")),
            "sourceRoot" => {
                section.root = match json.kind()? {
                    Kind::String => Some(json.string_cut(LONGEST_ROOT)?),
                    _ => json.skip().map(|()| None)?,
                };
                false
            }
            "ignoreList" | "x_google_ignoreList" => {
                read_ignored(json, &mut section.ignored)?;
                false
            }
            "debugId" | "debug_id" => {
                debug_id = debug_id.or(DebugId::read(json)?);
                false
            }
            _ => {
                json.skip()?;
                false
            }
        };
        if twice {
            return Err(MapFault::at(format!("{key} is given twice")));
        }
    }
    match version.flatten() {
        None => return Err(MapFault::no_map()),
        Some(version) if version != 3.0 => {
            return Err(MapFault::at(format!("version {version}, expected 3")));
        }
        Some(_) => {}
    }
    if sections.is_none() {
        section.sources = sources.flatten().ok_or_else(MapFault::no_map)?;
        if mappings != Some(true) {
            return Err(MapFault::no_map());
        }
        // Names are optional.
        section.names = names.flatten().unwrap_or_default();
    }
    section.ignored.retain(|source| *source < section.sources);
    section.ignored.shrink_to_fit();
    Ok(Surveyed {
        section,
        sections,
        debug_id,
    })
}

fn read_version<R: Read>(json: &mut Json<R>) -> Result<Option<f64>, MapFault> {
    if json.kind()? != Kind::Number {
        json.skip()?;
        return Ok(None);
    }
    Ok(json.number()?.parse().ok())
}

/// Items of an array; none when it is no array.
fn count<R: Read>(json: &mut Json<R>) -> Result<Option<u32>, MapFault> {
    if json.kind()? != Kind::Array {
        json.skip()?;
        return Ok(None);
    }
    let mut count = 0_u32;
    let mut items = json.open_array()?;
    while json.next_item(&mut items)? {
        json.skip()?;
        count = count.checked_add(1).ok_or_else(MapFault::no_map)?;
    }
    Ok(Some(count))
}

/// Adds the numbers in an array, in order and once each; what is no number of a source is passed over.
fn read_ignored<R: Read>(json: &mut Json<R>, ignored: &mut Vec<u32>) -> Result<(), MapFault> {
    if json.kind()? != Kind::Array {
        return Ok(json.skip()?);
    }
    let mut items = json.open_array()?;
    while json.next_item(&mut items)? {
        let number = match json.kind()? {
            Kind::Number => json.number()?.parse::<u32>().ok(),
            _ => json.skip().map(|()| None)?,
        };
        ignored.extend(number.filter(|number| *number < MOST_SOURCES));
        // A list without end must not take memory without end.
        if ignored.len() > 2 * MOST_SOURCES as usize {
            tidy(ignored);
        }
    }
    tidy(ignored);
    Ok(())
}

fn tidy(numbers: &mut Vec<u32>) {
    numbers.sort_unstable();
    numbers.dedup();
}

fn is_text<R: Read>(json: &mut Json<R>) -> Result<bool, MapFault> {
    let kind = json.kind()?;
    json.skip()?;
    Ok(kind == Kind::String)
}

fn read_sections<R: Read>(json: &mut Json<R>) -> Result<Vec<Section>, MapFault> {
    let mut sections = Vec::new();
    if json.kind()? != Kind::Array {
        return Err(MapFault::at("sections are no array"));
    }
    let mut items = json.open_array()?;
    while json.next_item(&mut items)? {
        if sections.len() == MOST_SECTIONS {
            return Err(MapFault::at(format!("more than {MOST_SECTIONS} sections")));
        }
        sections.push(read_section(json)?);
        check_sources(&sections)?;
    }
    if sections.is_empty() {
        return Err(MapFault::at("sections are empty"));
    }
    Ok(sections)
}

fn read_section<R: Read>(json: &mut Json<R>) -> Result<Section, MapFault> {
    let wrong = || MapFault::at("a section without offset and map");
    if json.kind()? != Kind::Object {
        return Err(wrong());
    }
    let (mut offset, mut map) = (None, None);
    let mut members = json.open_object()?;
    while let Some(key) = json.next_member(&mut members)? {
        let twice = match key.as_str() {
            "offset" => offset.replace(read_offset(json)?).is_some(),
            "map" => map.replace(read_map(json, false)?.section).is_some(),
            _ => {
                json.skip()?;
                false
            }
        };
        if twice {
            return Err(MapFault::at(format!("{key} is given twice in a section")));
        }
    }
    let ((line, column), section) = offset.zip(map).ok_or_else(wrong)?;
    Ok(Section {
        line,
        column,
        ..section
    })
}

fn read_offset<R: Read>(json: &mut Json<R>) -> Result<(u32, u32), MapFault> {
    let wrong = || MapFault::at("an offset that is no line and column");
    if json.kind()? != Kind::Object {
        return Err(wrong());
    }
    let (mut line, mut column) = (None, None);
    let mut members = json.open_object()?;
    while let Some(key) = json.next_member(&mut members)? {
        let number = match json.kind()? {
            Kind::Number => json.number()?.parse::<u32>().ok(),
            _ => json.skip().map(|()| None)?,
        };
        match key.as_str() {
            "line" => line = number,
            "column" => column = number,
            _ => {}
        }
    }
    line.zip(column).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_fault(text: &str, detail: &str) {
        let fault = survey(text.as_bytes()).unwrap_err().to_string();
        let expected = if detail.is_empty() {
            String::new()
        } else {
            format!(": {detail}")
        };
        assert_eq!(
            fault,
            format!("Invalid source map format{expected}"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_map() {
        for text in [
            "",
            "not json",
            "[]",
            "{\"sources\":[],\"mappings\":\"\"}",
            "{\"version\":3,\"mappings\":\"\"}",
            "{\"version\":3,\"sources\":[]}",
            "{\"version\":\"3\",\"sources\":[],\"mappings\":\"\"}",
            "{\"version\":3,\"sources\":\"a\",\"mappings\":\"\"}",
            "{\"version\":3,\"sources\":[],\"mappings\":null}",
            ")]}'\n{\"version\":3,\"sources\":[],\"mappings\":\"\"}",
            "{\"version\":3,\"sources\":[],\"mappings\":\"\"} x",
        ] {
            check_fault(text, "");
        }
        check_fault(
            "{\"version\":2,\"sources\":[],\"mappings\":\"\"}",
            "version 2, expected 3",
        );
        check_fault("{\"version\":3,\"version\":3}", "version is given twice");
        check_fault(
            "{\"sourcesContent\":[],\"sourcesContent\":[\"a\"]}",
            "sourcesContent is given twice",
        );
        check_fault("{\"version\":3,\"sections\":{}}", "sections are no array");
        check_fault("{\"version\":3,\"sections\":[]}", "sections are empty");
        check_fault(
            "{\"version\":3,\"sections\":[{}]}",
            "a section without offset and map",
        );
        check_fault(
            "{\"version\":3,\"sections\":[{\"offset\":{\"line\":-1,\"column\":0}}]}",
            "an offset that is no line and column",
        );
        check_fault(
            "{\"version\":3,\"sections\":[{\"map\":{\"version\":3,\"sections\":[]}}]}",
            "sections inside of sections",
        );
    }

    #[test]
    fn counts() {
        let text = "{\"mappings\":\"AAAA\",\"names\":[\"a\",\"b\"],\"sources\":[\"x\",null,\"z\"],\"sourceRoot\":\"r\",\"version\":3.0}";
        let survey = survey(text.as_bytes()).unwrap();
        let section = Section {
            line: 0,
            column: 0,
            sources: 3,
            names: 2,
            root: Some("r".to_owned()),
            ignored: Vec::new(),
        };
        assert_eq!(
            survey,
            Survey {
                sections: vec![section],
                is_index: false,
                debug_id: None,
            }
        );
    }

    #[track_caller]
    fn check_debug_id(members: &str, expected: Option<&str>) {
        let text = format!("{{\"version\":3,\"sources\":[],\"mappings\":\"\"{members}}}");
        let found = survey(text.as_bytes()).unwrap().debug_id;
        assert_eq!(found, expected.and_then(DebugId::parse), "{members}");
    }

    #[test]
    fn debug_ids() {
        let id = "85314830-023f-4cf1-a267-535f4e37bb17";
        check_debug_id("", None);
        check_debug_id(&format!(",\"debugId\":\"{id}\""), Some(id));
        check_debug_id(&format!(",\"debug_id\":\"{id}\""), Some(id));
        check_debug_id(
            &format!(",\"debugId\":\"{id}\",\"debug_id\":\"no id\""),
            Some(id),
        );
        check_debug_id(
            &format!(",\"debugId\":null,\"debug_id\":\"{id}\""),
            Some(id),
        );
        check_debug_id(",\"debugId\":[1]", None);
        let index = format!(
            "{{\"version\":3,\"debugId\":\"{id}\",\"sections\":[{{\"offset\":{{\"line\":0,\"column\":0}},\
             \"map\":{{\"version\":3,\"sources\":[],\"mappings\":\"\",\"debugId\":\"00000000000000000000000000000001\"}}}}]}}"
        );
        assert_eq!(
            survey(index.as_bytes()).unwrap().debug_id,
            DebugId::parse(id)
        );
    }

    #[track_caller]
    fn check_ignored(members: &str, expected: &[u32]) {
        let text = format!(
            "{{\"version\":3,\"mappings\":\"\",{members},\"sources\":[\"a\",\"b\",\"c\"]}}"
        );
        let survey = survey(text.as_bytes()).unwrap();
        assert_eq!(survey.sections[0].ignored, expected, "{members}");
    }

    #[test]
    fn ignored_sources() {
        check_ignored("\"ignoreList\":[2,0,2]", &[0, 2]);
        check_ignored("\"x_google_ignoreList\":[1]", &[1]);
        check_ignored("\"x_google_ignoreList\":[1],\"ignoreList\":[0,1]", &[0, 1]);
        check_ignored(
            "\"ignoreList\":[3,-1,1.5,\"0\",null,[0],1e9,99999999999]",
            &[],
        );
        for none in ["null", "5", "\"0\"", "{\"0\":1}", "[]"] {
            check_ignored(&format!("\"ignoreList\":{none}"), &[]);
        }
        let endless = vec!["1"; 3 * MOST_SOURCES as usize].join(",");
        check_ignored(&format!("\"ignoreList\":[{endless}]"), &[1]);
    }

    #[test]
    fn sections_in_order() {
        let section = |line, column| {
            format!(
                "{{\"map\":{{\"version\":3,\"sources\":[\"a\"],\"mappings\":\"\"}},\"offset\":{{\"line\":{line},\"column\":{column}}}}}"
            )
        };
        let map = |a: &str, b: &str| format!("{{\"version\":3,\"sections\":[{a},{b}]}}");
        let found = survey(map(&section(0, 0), &section(0, 10)).as_bytes()).unwrap();
        assert_eq!((found.sections.len(), found.is_index), (2, true));
        assert_eq!((found.sections[1].line, found.sections[1].column), (0, 10));
        check_fault(
            &map(&section(1, 0), &section(0, 10)),
            "sections are not in the order of their offsets",
        );
        check_fault(
            &map(&section(1, 0), &section(1, 0)),
            "sections are not in the order of their offsets",
        );
    }
}
