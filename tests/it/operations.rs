//! `docs/operations.md`: the tables of operations and of their attributes are those of the library's
//! sources. `FEDWASM_BLESS=1` writes them again.

use std::fmt::Write as _;

use crate::support::root;

/// Where the tables begin.
const MARK: &str = "<!-- from the sources of plugins/compute -->\n";

fn source(name: &str) -> String {
    std::fs::read_to_string(root().join("plugins/compute/src").join(name)).unwrap()
}

/// A case of an enumeration: its name, its types by field, its words.
struct Case {
    name: String,
    fields: Vec<(String, String)>,
    doc: String,
}

/// The cases of `pub enum NAME` in a source that rustfmt wrote.
fn cases(text: &str, name: &str) -> Vec<Case> {
    let (_, text) = text.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (text, _) = text.split_once("\n}\n").unwrap();
    let (mut cases, mut doc): (Vec<Case>, String) = (Vec::new(), String::new());
    for line in text.lines() {
        let word = line.trim();
        if let Some(words) = word.strip_prefix("/// ") {
            // Fields explain themselves.
            if line.starts_with("    ///") {
                write!(doc, "{}{words}", if doc.is_empty() { "" } else { " " }).unwrap();
            }
        } else if let Some(field) = line.strip_prefix("        ") {
            let (name, of) = field.trim_end_matches(',').split_once(": ").unwrap();
            cases.last_mut().unwrap().fields.push((name.to_owned(), of.to_owned()));
        } else if word != "}," {
            let name = word.split(['(', ',', ' ']).next().unwrap().to_owned();
            let types = word.split_once('(').and_then(|(_, types)| types.rsplit_once(')'));
            let types = types.map_or("", |(types, _)| types).split(", ");
            let types = types.filter(|of| !of.is_empty()).map(|of| (String::new(), of.to_owned()));
            cases.push(Case { name, fields: types.collect(), doc: std::mem::take(&mut doc) });
        }
    }
    cases
}

/// Code, name and fields of each variant of an enumeration, as they are written.
fn codes(text: &str, name: &str) -> Vec<(u8, String, Vec<String>)> {
    let (_, text) = text.split_once("\nvariants! {\n").unwrap();
    let (_, text) = text.split_once(&format!("    {name} {{")).unwrap();
    let end = if text.starts_with('\n') { "\n    }\n" } else { "}\n" };
    let (text, _) = text.split_once(end).unwrap();
    let variants = text.split(';').map(str::trim).filter(|variant| !variant.is_empty());
    let variant = |variant: &str| {
        let (code, rest) = variant.split_once(' ').unwrap();
        let (name, fields) = rest.split_once(['(', '{']).unwrap_or((rest, ""));
        let fields = fields.trim_end_matches([')', '}']).split(',').map(str::trim);
        let fields = fields.filter(|field| !field.is_empty()).map(str::to_owned);
        (code.parse().unwrap(), name.trim().to_owned(), fields.collect())
    };
    variants.map(variant).collect()
}

/// A text whose links lead to sources, without them.
fn without_links(text: &str) -> String {
    let mut plain = text.to_owned();
    while let Some(at) = plain.find("](crate::") {
        let end = plain[at..].find(')').unwrap();
        plain.replace_range(at + 1..=at + end, "");
    }
    plain.replace("[`", "`").replace("`]", "`")
}

/// The table of an enumeration.
fn table(definition: &str, encoding: &str, name: &str, last: &str) -> String {
    let cases = cases(definition, name);
    let codes = codes(encoding, name);
    assert_eq!(cases.len(), codes.len(), "{name}");
    let mut table = format!("| code | {name} | attributes | {last} |\n|---|---|---|---|\n");
    for (code, name, fields) in codes {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        assert_eq!(case.fields.len(), fields.len(), "{name}");
        let typed = fields.iter().zip(&case.fields).map(|(field, (own, of))| {
            assert!(own.is_empty() || own == field, "{name}: {field}");
            format!("{field}: `{of}`")
        });
        let typed = typed.collect::<Vec<_>>().join(", ");
        let doc = without_links(&case.doc).replace('|', "\\|");
        writeln!(table, "| {code} | {name} | {typed} | {doc} |").unwrap();
    }
    table
}

#[test]
fn page_of_operations_is_what_the_code_says() {
    let encoding = source("encode.rs");
    let (ops, attributes) = (source("op/mod.rs"), source("op/attributes.rs"));
    let mut text = format!("## Operations\n{}", table(&ops, &encoding, "Op", "inputs and output"));
    text += "\n## Attributes\n";
    text += &table(&source("shape.rs"), &encoding, "Dtype", "meaning");
    for name in ["Unary", "Binary", "Side", "Compare", "Reduce", "Reduction", "Pooling", "Windows"]
    {
        write!(text, "\n{}", table(&attributes, &encoding, name, "meaning")).unwrap();
    }
    write!(text, "\n{}", table(&source("kernels/resize.rs"), &encoding, "Sampling", "meaning"))
        .unwrap();
    let work = source("work.rs");
    let rows = work.lines().filter_map(|line| line.strip_prefix("//! |"));
    text += "\n## Work\n";
    rows.for_each(|row| {
        let row = row.replace("[`CALL`]", &fedwasm_compute::CALL.to_string());
        writeln!(text, "|{row}").unwrap();
    });
    let path = root().join("docs/operations.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, tables) = page.split_once(MARK).unwrap();
    if std::env::var_os("FEDWASM_BLESS").is_some() {
        std::fs::write(path, format!("{head}{MARK}{text}")).unwrap();
        return;
    }
    assert!(tables == text, "docs/operations.md differs: FEDWASM_BLESS=1 writes its tables again");
    // The bounds of its first part.
    let log2 = fedwasm_compute::OPERATION_MAX.ilog2();
    for fact in [format!("2^{log2} units"), format!("{} inputs", fedwasm_compute::INPUTS_MAX)] {
        assert!(head.contains(&fact), "{fact}");
    }
}

/// The example of the page, byte by byte.
#[test]
fn example_of_the_page_is_right() {
    use fedwasm_compute::{Axes, Op, Reduce};
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let mut bytes = Vec::new();
    Op::Reduce(Reduce::Mean, Axes::from_bits(0b101), true).write(&mut bytes);
    let shown: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(page.contains(&format!("`{}`", shown.join(" "))), "{shown:?}");
}
