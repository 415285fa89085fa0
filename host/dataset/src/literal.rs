//! Literals of Python, as the headers of NPY files are: texts, truth values, whole numbers,
//! tuples, lists, and dictionaries whose keys are texts.

/// How deep literals lie in each other; those of NumPy's records do so four times.
const DEPTH_MAX: usize = 16;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Boolean(bool),
    /// None if it is negative or too large.
    Number(Option<u64>),
    /// A tuple or a list.
    Sequence(Vec<Literal>),
    Dictionary(Vec<(String, Literal)>),
}

impl Literal {
    /// Reads a text that is one literal and blanks around it; none if it is not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = Rest(text);
        let literal = rest.literal(DEPTH_MAX)?;
        rest.skip_blanks();
        rest.0.is_empty().then_some(literal)
    }

    /// The value of a dictionary under a key; of two the last, as in Python.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(entries) => {
                entries.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// The unread rest.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn literal(&mut self, depth: usize) -> Option<Literal> {
        let depth = depth.checked_sub(1)?;
        self.skip_blanks();
        match self.0.chars().next()? {
            quote @ ('\'' | '"') => self.text(quote).map(Literal::Text),
            '(' => self.sequence(')', depth),
            '[' => self.sequence(']', depth),
            '{' => self.dictionary(depth),
            '-' | '+' | '0'..='9' => self.number(),
            _ if self.takes("True") => Some(Literal::Boolean(true)),
            _ if self.takes("False") => Some(Literal::Boolean(false)),
            _ => None,
        }
    }

    /// Takes a text. One with an escape is nothing that NumPy writes.
    fn text(&mut self, quote: char) -> Option<String> {
        let (text, rest) = self.0.get(1..)?.split_once(quote)?;
        self.0 = rest;
        (!text.contains(['\\', '\n'])).then(|| text.to_owned())
    }

    fn number(&mut self) -> Option<Literal> {
        let is_negative = self.takes("-");
        self.takes("+");
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        // As Python 2 wrote it.
        self.takes("L");
        if digits.is_empty() {
            return None;
        }
        Some(Literal::Number(digits.parse().ok().filter(|_| !is_negative)))
    }

    /// Takes a tuple or a list; a value in brackets without a comma is itself.
    fn sequence(&mut self, end: char, depth: usize) -> Option<Literal> {
        let (mut all, mut has_comma) = (Vec::new(), false);
        self.0 = self.0.get(1..)?;
        while !self.ends(end) {
            all.push(self.literal(depth)?);
            has_comma = self.ends(',');
            if !has_comma {
                self.ends(end).then_some(())?;
                break;
            }
        }
        match &all[..] {
            [one] if end == ')' && !has_comma => Some(one.clone()),
            _ => Some(Literal::Sequence(all)),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Option<Literal> {
        let mut all = Vec::new();
        self.0 = self.0.get(1..)?;
        while !self.ends('}') {
            let Literal::Text(key) = self.literal(depth)? else { return None };
            self.ends(':').then_some(())?;
            all.push((key, self.literal(depth)?));
            if !self.ends(',') {
                self.ends('}').then_some(())?;
                break;
            }
        }
        Some(Literal::Dictionary(all))
    }

    /// Takes this character if it is the next one after blanks.
    fn ends(&mut self, c: char) -> bool {
        self.skip_blanks();
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    fn takes(&mut self, word: &str) -> bool {
        self.0.strip_prefix(word).map(|rest| self.0 = rest).is_some()
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_read_in_any_order() {
        let numbers = |all: &[u64]| {
            Literal::Sequence(all.iter().map(|n| Literal::Number(Some(*n))).collect())
        };
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }            \n";
        let header = Literal::parse(header).unwrap();
        assert_eq!(header.get("descr"), Some(&Literal::Text("<f4".into())));
        assert_eq!(header.get("fortran_order"), Some(&Literal::Boolean(false)));
        assert_eq!(header.get("shape"), Some(&numbers(&[3, 4])));
        let header = "{\"shape\":(5L,),'fortran_order':True , 'descr': '|u1'}";
        let header = Literal::parse(header).unwrap();
        assert_eq!(header.get("shape"), Some(&numbers(&[5])));
        assert_eq!(header.get("fortran_order"), Some(&Literal::Boolean(true)));
        assert_eq!(Literal::parse("()"), Some(numbers(&[])));
        assert_eq!(Literal::parse("(7)"), Some(Literal::Number(Some(7))));
        assert_eq!(Literal::parse("-7"), Some(Literal::Number(None)));
        assert_eq!(Literal::parse("99999999999999999999"), Some(Literal::Number(None)));
    }

    /// A key that is a part of another value is ignored.
    #[test]
    fn words_inside_of_a_text_are_no_keys() {
        let header = "{'descr': \"'shape': (1,)\", 'shape': (2,)}";
        let header = Literal::parse(header).unwrap();
        assert_eq!(header.get("shape"), Some(&Literal::Sequence(vec![Literal::Number(Some(2))])));
        let record = "{'descr': [('shape', '<f4', (2,)), ('b', '|u1')], 'shape': ()}";
        assert!(matches!(Literal::parse(record).unwrap().get("descr"), Some(Literal::Sequence(_))));
    }

    #[test]
    fn anything_else_is_none_and_never_a_panic() {
        let deep = "(".repeat(60_000);
        for text in [
            "",
            "{",
            "{'a'}",
            "{'a': }",
            "{'a': 1",
            "{'a' 1}",
            "{1: 2}",
            "(1 2)",
            "(1,",
            "[1)",
            "'a",
            "'a\\'b'",
            "None",
            "__import__('os')",
            "1 1",
            "-",
            "1.5",
            "ä",
            "{'ä': ä}",
            ",",
            &deep,
        ] {
            assert_eq!(Literal::parse(text), None, "{text:.40}");
        }
    }
}
