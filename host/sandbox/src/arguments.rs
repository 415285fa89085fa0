//! From the arguments that people give to those that a plan gets.

use fedwasm_protocol::{Arguments, Value, ValueKind};

use crate::metadata::{Argument, Default, Metadata};

/// Arguments that the host alone gives, to a plan that announces them: the round, counted from 1,
/// and the number of rounds. Their names have no table of a file in front, so no file can give
/// them.
pub const OF_HOST: [&str; 2] = ["round", "rounds"];

/// The argument for the weights of classes in a loss: a list of reals. A plan that announces it can be
/// given [`BALANCED`] instead, and the host computes the list from the training rows.
pub const CLASS_WEIGHTS: &str = "model.class_weights";
/// See [`CLASS_WEIGHTS`].
pub const BALANCED: &str = "balanced";

/// The facts about the data that arguments follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// Input columns.
    pub n_inputs: Option<usize>,
    /// Classes of the target. Unknown where counting them would tell
    /// something about the rows.
    pub n_classes: Option<usize>,
}

/// An argument that a plan cannot be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// The plan does not know it.
    #[error("argument `{name}` is unknown to plan {plan}; {hint}")]
    Unknown {
        /// The argument.
        name: String,
        /// The plan.
        plan: String,
        /// The nearest argument, or all of them.
        hint: String,
    },
    /// It has another kind.
    #[error("argument `{name}` is {got}, plan {plan} expects {expected}")]
    Kind {
        /// The argument.
        name: String,
        /// The plan.
        plan: String,
        /// The kind given.
        got: ValueKind,
        /// The kind expected.
        expected: ValueKind,
    },
    /// The researcher may not set it.
    #[error("argument `{name}` is set by the host; plan {plan} gets it in every round")]
    OfHost {
        /// The argument.
        name: String,
        /// The plan.
        plan: String,
    },
    /// It must be given.
    #[error("argument `{name}` is missing; plan {plan}: {doc}")]
    Missing {
        /// The argument.
        name: String,
        /// The plan.
        plan: String,
        /// Its description.
        doc: String,
    },
    /// More than one of these.
    #[error("{} arguments are wrong\n  {}", .0.len(), lines(.0))]
    Several(Vec<ArgumentError>),
}

impl ArgumentError {
    /// The mistakes by themselves.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Several(all) => all,
            one => std::slice::from_ref(one),
        }
    }
}

fn lines(mistakes: &[ArgumentError]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

impl Argument {
    /// Whether it is one of these that the host computes from the training rows; it has its default
    /// until then.
    pub fn is_by_host(&self, given: &Arguments) -> bool {
        let asks = |value: &Value| matches!(value, Value::Text(text) if text == BALANCED);
        self.name == CLASS_WEIGHTS
            && self.kind == ValueKind::Reals
            && given.get(CLASS_WEIGHTS).is_some_and(asks)
    }
}

impl Metadata {
    /// Returns the arguments of a call: those given, checked, and the
    /// defaults of the rest. Only keys that start with one of `prefixes` take
    /// part.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn arguments(
        &self,
        given: &Arguments,
        facts: &DataFacts,
        prefixes: &[&str],
    ) -> Result<Arguments, ArgumentError> {
        let plan = || self.name.clone();
        let is_known = |name: &&String| self.arguments.iter().any(|a| a.name == **name);
        let unknown = given.keys().filter(|name| !is_known(name));
        let unknown = unknown.map(|name| {
            let hint = hint(self, name);
            ArgumentError::Unknown { name: name.clone(), plan: plan(), hint }
        });
        let mut mistakes: Vec<ArgumentError> = unknown.collect();
        let mut resolved = Arguments::new();
        for argument in &self.arguments {
            let (name, expected) = (argument.name.clone(), argument.kind);
            let is_of_host = OF_HOST.contains(&name.as_str());
            if !is_of_host && !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            // The only round of an experiment, wherever rounds are not counted.
            let absent = || {
                if is_of_host { Some(Value::Integer(1)) } else { argument.default.value(facts) }
            };
            let by_host = argument.is_by_host(given);
            let value = given.get(&name).filter(|_| !by_host).cloned();
            let Some(value) = value.or_else(absent) else {
                let doc = argument.doc.clone();
                mistakes.push(ArgumentError::Missing { name, plan: plan(), doc });
                continue;
            };
            let got = value.kind();
            let Some(value) = value.into_kind(expected) else {
                mistakes.push(ArgumentError::Kind { name, plan: plan(), got, expected });
                continue;
            };
            resolved.insert(name, value);
        }
        match mistakes.pop() {
            None => Ok(resolved),
            Some(one) if mistakes.is_empty() => Err(one),
            Some(last) => {
                mistakes.push(last);
                Err(ArgumentError::Several(mistakes))
            }
        }
    }

    /// Checks that no argument is given that the host sets.
    ///
    /// # Errors
    /// [`ArgumentError::OfHost`].
    pub fn check_given(&self, given: &Arguments) -> Result<(), ArgumentError> {
        match OF_HOST.into_iter().find(|name| given.contains_key(*name)) {
            Some(name) => Err(ArgumentError::OfHost { name: name.into(), plan: self.name.clone() }),
            None => Ok(()),
        }
    }
}

impl Default {
    /// The default value; none if a value must be given.
    fn value(&self, facts: &DataFacts) -> Option<Value> {
        let count = |n: Option<usize>| n.map(|n| Value::Integer(n as i64));
        match self {
            Self::Required => None,
            Self::InputColumns => count(facts.n_inputs),
            Self::TargetClasses => count(facts.n_classes),
            Self::Value(value) => Some(value.clone()),
        }
    }
}

fn hint(metadata: &Metadata, name: &str) -> String {
    let names = || metadata.arguments.iter().map(|argument| argument.name.as_str());
    let nearest = names().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    match nearest.filter(|known| strsim::damerau_levenshtein(known, name) <= 3) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("it knows {}", names().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Argument, Task};

    fn metadata() -> Metadata {
        let argument = |name: &str, kind, default| Argument {
            name: name.into(),
            kind,
            default,
            doc: "what it is".into(),
        };
        Metadata {
            name: "test".into(),
            version: "0.1.0".into(),
            task: Task::Regression,
            arguments: vec![
                argument("model.n_features", ValueKind::Integer, Default::InputColumns),
                argument("optimizer.lr", ValueKind::Real, Default::Value(Value::Real(0.5))),
            ],
            dependencies: Vec::new(),
        }
    }

    fn given(pairs: &[(&str, Value)]) -> Arguments {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    const ALL: [&str; 2] = ["model.", "optimizer."];

    #[test]
    fn defaults_fill_what_is_not_given() {
        let facts = DataFacts { n_inputs: Some(30), n_classes: None };
        let all = metadata().arguments(&Arguments::new(), &facts, &ALL).unwrap();
        let expected =
            given(&[("model.n_features", Value::Integer(30)), ("optimizer.lr", Value::Real(0.5))]);
        assert_eq!(all, expected);
        let model = metadata().arguments(&Arguments::new(), &facts, &["model."]).unwrap();
        assert_eq!(model.len(), 1);
    }

    #[test]
    fn whole_numbers_are_real_numbers() {
        let given =
            given(&[("model.n_features", Value::Integer(1)), ("optimizer.lr", Value::Integer(1))]);
        let all = metadata().arguments(&given, &DataFacts::default(), &ALL).unwrap();
        assert_eq!(all["optimizer.lr"], Value::Real(1.0));
    }

    #[test]
    fn the_host_says_which_round_it_is_and_nobody_else() {
        let mut asks = metadata();
        asks.arguments.push(Argument {
            name: "round".into(),
            kind: ValueKind::Integer,
            default: Default::Required,
            doc: "the round".into(),
        });
        let facts = DataFacts { n_inputs: Some(1), n_classes: None };
        let third = given(&[("round", Value::Integer(3))]);
        let all = asks.arguments(&third, &facts, &ALL).unwrap();
        assert_eq!(all["round"], Value::Integer(3));
        let all = asks.arguments(&Arguments::new(), &facts, &ALL).unwrap();
        assert_eq!(all["round"], Value::Integer(1));
        let error = asks.check_given(&third).unwrap_err().to_string();
        assert!(error.contains("`round` is set by the host"), "{error}");
        // A plan that does not announce it does not get it.
        assert!(
            !metadata().arguments(&Arguments::new(), &facts, &ALL).unwrap().contains_key("round")
        );
    }

    #[test]
    fn each_mistake_is_named() {
        let facts = DataFacts { n_inputs: Some(1), n_classes: None };
        for (given, facts, expected) in [
            (given(&[("optimizer.lrr", Value::Real(0.1))]), facts, "did you mean `optimizer.lr`?"),
            (given(&[("x", Value::Real(0.1))]), facts, "it knows model.n_features, optimizer.lr"),
            (given(&[("optimizer.lr", Value::Text("x".into()))]), facts, "expects a real number"),
            (Arguments::new(), DataFacts::default(), "argument `model.n_features` is missing"),
        ] {
            let error = metadata().arguments(&given, &facts, &ALL).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let given = given(&[("x", Value::Real(0.1)), ("optimizer.lr", Value::Boolean(true))]);
        let error = metadata().arguments(&given, &DataFacts::default(), &ALL).unwrap_err();
        assert_eq!(error.each().len(), 3);
        assert_eq!(
            error.to_string(),
            "3 arguments are wrong
  argument `x` is unknown to plan test; it knows model.n_features, optimizer.lr
  argument `model.n_features` is missing; plan test: what it is
  argument `optimizer.lr` is a truth value, plan test expects a real number"
        );
    }
}
