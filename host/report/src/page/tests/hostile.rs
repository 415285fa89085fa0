//! Every text of a history may come from outside, and none of them makes an element or an attribute
//! of the page, or turns or hides a text of it.

use fedwasm_protocol::{is_unprintable, printable};
use fedwasm_record::ChangeRecord;
use serde_json::Value;

use super::parsed::{Element, parse};
use super::*;

const EVIL: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)' x='",
    "\" style=\"display:none\" x=\"",
    "</style><style>* { display: none }</style>",
    "</title><meta http-equiv=refresh content=0>",
    "</svg></text><foreignObject><b>",
    "<!-- ]]> <![CDATA[<b>]]> --!> <?php <",
    "&lt;b&gt; &#60;i&#62; &amp &notit;",
    "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}",
    "a\0b\u{1b}[31mc\u{7f}d\u{9b}2Je\r\n\tf\u{2028}g",
    "(PreEscaped) {{7*7}} ${x} %s",
];

/// The same without effect, in no form of an id either.
const PLAIN: &str = "a plain text";

/// Two rounds with all that a history can hold, so that every table and chart is there.
fn full() -> History {
    let rounds = (1..=2).map(|round| round_record(round, "accuracy", "it is gone"));
    let mut history = history("demo", rounds.collect());
    let text = |text: &str| text.to_owned();
    history.changes = vec![ChangeRecord {
        round: 2,
        differences: vec![Difference { name: text("training.lr"), a: text("1"), b: text("2") }],
        before: [].into(),
    }];
    let scores = history.rounds[0].evaluation.clone();
    let scored = [("late".parse().unwrap(), scores.clone().unwrap())];
    history.rounds[1].scored = scored.clone().into();
    history.initial = Some(ScoreRecord { evaluation: scores, nodes: scored.into(), secagg: None });
    history.left_out = [("away".parse().unwrap(), text("it has no such data"))].into();
    history.status = text("failed: 1 node, at least 2 are needed");
    history
}

/// The JSON pointers of all texts, and those of all tables.
fn places(value: &Value, at: &str, texts: &mut Vec<String>, tables: &mut Vec<String>) {
    match value {
        Value::String(_) => texts.push(at.to_owned()),
        Value::Array(values) => {
            for (nth, value) in values.iter().enumerate() {
                places(value, &format!("{at}/{nth}"), texts, tables);
            }
        }
        Value::Object(table) => {
            tables.push(at.to_owned());
            for (key, value) in table {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{at}/{key}"), texts, tables);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The history with a text in each place that takes any: a value in place of each text, a name
/// beside those of each table. Ids and digests take none. Also returns how many took it.
fn poisoned(history: &History, text: &str) -> (History, usize) {
    let is_kept = |json: &Value, at: &str, is_there: &dyn Fn(&Value) -> bool| {
        let Ok(history) = serde_json::from_value::<History>(json.clone()) else { return false };
        serde_json::to_value(history).unwrap().pointer(at).is_some_and(is_there)
    };
    let mut json = serde_json::to_value(history).unwrap();
    let (mut texts, mut tables, mut n_taken) = (Vec::new(), Vec::new(), 0);
    places(&json, "", &mut texts, &mut tables);
    for at in texts {
        let mut tried = json.clone();
        *tried.pointer_mut(&at).unwrap() = text.into();
        if is_kept(&tried, &at, &|value| value.as_str() == Some(text)) {
            (json, n_taken) = (tried, n_taken + 1);
        }
    }
    for at in tables {
        let mut tried = json.clone();
        let table = tried.pointer_mut(&at).unwrap().as_object_mut().unwrap();
        let Some(value) = table.values().next().cloned() else { continue };
        table.insert(text.to_owned(), value);
        if is_kept(&tried, &at, &|table| table.get(text).is_some()) {
            (json, n_taken) = (tried, n_taken + 1);
        }
    }
    (serde_json::from_value(json).unwrap(), n_taken)
}

/// Names of elements and attributes, with the values of those that are not drawn: in a chart the
/// places of texts follow from their lengths.
fn shape(elements: &[Element]) -> Vec<(&str, Vec<(&str, &str)>)> {
    elements
        .iter()
        .map(|element| {
            let attributes = element.attributes.iter();
            let value = |value| if element.is_drawn { "" } else { value };
            let attributes = attributes.map(|(name, text)| (name.as_str(), value(text.as_str())));
            (element.name.as_str(), attributes.collect())
        })
        .collect()
}

/// The pages of an experiment and of a local run with a text in all places, and in how many.
fn pages(text: &str) -> ([String; 2], usize) {
    let (experiment, n_taken) = poisoned(&full(), text);
    let local = History { experiment_id: String::new(), ..experiment.clone() };
    ([experiment, local].map(|history| report(&history).unwrap()), n_taken)
}

#[test]
fn texts_from_outside_make_no_element_and_no_attribute() {
    let (plain, n_plain) = pages(PLAIN);
    let plain = plain.map(|page| parse(&page));
    let n_shown = plain.each_ref().map(|page| page.text.matches(PLAIN).count());
    // Name, plan, version, status, arguments, changes, metrics, reasons, labels of charts.
    assert!(n_plain > 20 && n_shown[0] > 20 && n_shown[1] > 15, "{n_plain} {n_shown:?}");
    for evil in EVIL {
        let (pages, n_taken) = pages(evil);
        assert_eq!(n_taken, n_plain, "{evil:?}");
        for ((page, plain), n_shown) in pages.iter().zip(&plain).zip(n_shown) {
            assert!(!page.chars().any(|c| c != '\n' && is_unprintable(c)), "{evil:?}");
            let parsed = parse(page);
            assert_eq!(shape(&parsed.elements), shape(&plain.elements), "{evil:?}");
            for element in parsed.elements.iter().filter(|element| element.is_drawn) {
                // Numbers, colours and the address of SVG.
                let is_plain = |c: char| c.is_ascii_alphanumeric() || " #.,-()%:/".contains(c);
                let values = element.attributes.values();
                assert!(values.flat_map(|value| value.chars()).all(is_plain), "{element:?}");
            }
            // Nothing got lost either: each is there to read, as a text.
            let text = parsed.text.replace('\n', " ");
            assert_eq!(text.matches(&printable(evil)).count(), n_shown, "{evil:?}");
        }
    }
}
