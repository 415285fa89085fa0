//! A page as a browser reads it, by the tokenizer of the HTML standard.

use std::collections::BTreeMap;

use html5gum::{DefaultEmitter, HtmlString, Token, Tokenizer};

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "wbr"];

#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) elements: Vec<Element>,
    /// All texts, one after the other.
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// Whether a chart or a bar holds it.
    pub(super) is_drawn: bool,
}

/// Reads a page, and checks that there is no mistake and no comment in it, and that each tag closes
/// the one that was opened last.
pub(super) fn parse(page: &str) -> Parsed {
    let mut emitter = DefaultEmitter::default();
    // In a title and a style a browser reads by rules of their own.
    emitter.naively_switch_states(true);
    let string = |text: HtmlString| String::from_utf8(text.into()).unwrap();
    let (mut parsed, mut open) = (Parsed::default(), Vec::new());
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        match token {
            Token::StartTag(tag) => {
                let name = string(tag.name);
                let attributes = tag.attributes.into_iter();
                let attributes =
                    attributes.map(|(name, value)| (string(name), string(value.value)));
                parsed.elements.push(Element {
                    name: name.clone(),
                    attributes: attributes.collect(),
                    is_drawn: name == "svg" || open.iter().any(|name| name == "svg"),
                });
                if !tag.self_closing && !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Token::EndTag(tag) => assert_eq!(open.pop(), Some(string(tag.name))),
            Token::String(text) => parsed.text += &string(text.value),
            Token::Doctype(doctype) => assert!(!doctype.force_quirks),
            other @ (Token::Comment(_) | Token::Error(_)) => panic!("{other:?}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    parsed
}
