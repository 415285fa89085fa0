//! Bounds on the arguments that an approval of a plan covers.

use std::fmt;
use std::str::FromStr;

use fedwasm_protocol::{Arguments, DataArgs, RoundRequest, Split, TrainingArgs, prefix};
use fedwasm_training::Length;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A bound on one argument, written `training.epochs<=10`, `optimizer.lr>=0.01`,
/// `model.hidden=16,32` or `model.layers=linear 1..512,relu`. Each element of a list keeps it, where
/// `<=` and `>=` bound how many texts a list of texts has, and the 0 of an empty list; `1..512` in the
/// place of a word, or of what follows `NAME=` in it, is any number from 1 to 512. An argument that is
/// not given has the plan's own default, which the operator saw on approval. `training.steps` and
/// `training.rows` are the length of training on the rows of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bound {
    key: String,
    limit: Limit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Limit {
    AtMost(String),
    AtLeast(String),
    OneOf(Vec<String>),
}

/// All keys of training arguments that could be bounded, for either way to say how long.
const EVERY_TRAINING_ARG: [&str; 2] = [
    "num_updates = 1",
    "epochs = 1\nbatch_maxnum = 1\nfedprox_mu = 0.1\ntest_ratio = 0.1\ntest_batch_size = 1\n\
     test_metric = \"ACCURACY\"\nrandom_seed = 1\n\
     dp_args = { type = \"local\", sigma = 1.0, clip = 1.0 }",
];
/// The length of a round on the rows of the node, however it was requested: optimizer
/// steps, and rows with their repetitions.
const STEPS: &str = "training.steps";
const ROWS: &str = "training.rows";

/// A text that is not a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid bound `{0}`: expected KEY<=NUMBER, KEY>=NUMBER or KEY=VALUE,VALUE, where a word of a value may be \
     FROM..TO"
)]
pub struct BoundError(String);

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let wrong = || BoundError(text.chars().take(200).collect());
        let number = |text: &str| -> Result<String, BoundError> {
            let text = text.trim();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(text.to_owned()),
                _ => Err(wrong()),
            }
        };
        // The first sign counts: a value may have others in it.
        let (key, limit) = text.split_once('=').ok_or_else(wrong)?;
        let (key, limit) = match (key.strip_suffix('<'), key.strip_suffix('>')) {
            (Some(key), _) => (key, Limit::AtMost(number(limit)?)),
            (_, Some(key)) => (key, Limit::AtLeast(number(limit)?)),
            _ => {
                let values = limit.split(',').map(|value| value.trim().to_owned()).collect();
                (key, Limit::OneOf(values))
            }
        };
        let key = key.trim();
        let mut tables = prefix::ALL.into_iter().chain(["training.", "data."]);
        if !tables.any(|table| key.len() > table.len() && key.starts_with(table)) {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), limit })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.limit {
            Limit::AtMost(max) => write!(f, "{}<={max}", self.key),
            Limit::AtLeast(min) => write!(f, "{}>={min}", self.key),
            Limit::OneOf(values) => write!(f, "{}={}", self.key, values.join(",")),
        }
    }
}

impl TryFrom<String> for Bound {
    type Error = BoundError;

    fn try_from(text: String) -> Result<Self, BoundError> {
        text.parse()
    }
}

impl From<Bound> for String {
    fn from(bound: Bound) -> Self {
        bound.to_string()
    }
}

impl Bound {
    /// Whether a value keeps the bound; a list does if each of its values does, or, of texts and
    /// of an empty one, if their number does.
    fn holds(&self, value: &Value) -> bool {
        if let Value::Array(values) = value {
            // Of an empty list the number counts, or no bound would ever be exceeded by it.
            let counted = values.iter().all(Value::is_string);
            return match &self.limit {
                Limit::AtMost(_) | Limit::AtLeast(_) if counted => self.holds(&values.len().into()),
                _ => values.iter().all(|value| self.holds(value)),
            };
        }
        let text = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        // A bound that is not a number was refused when it was read.
        let number = |bound: &str| bound.parse::<f64>().unwrap_or(f64::NAN);
        match &self.limit {
            Limit::AtMost(max) => value.as_f64().is_some_and(|value| value <= number(max)),
            Limit::AtLeast(min) => value.as_f64().is_some_and(|value| value >= number(min)),
            Limit::OneOf(values) => values.iter().any(|allowed| {
                let same = allowed.parse::<f64>().ok().zip(value.as_f64());
                *allowed == text || same.is_some_and(|(a, b)| a == b) || fits(allowed, &text)
            }),
        }
    }
}

/// Whether a text is word by word the allowed one, where ranges stand for the numbers in them.
fn fits(allowed: &str, text: &str) -> bool {
    let (mut allowed, mut given) = (allowed.split_whitespace(), text.split_whitespace());
    loop {
        match (allowed.next(), given.next()) {
            (Some(allowed), Some(given)) if word_fits(allowed, given) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

fn word_fits(allowed: &str, given: &str) -> bool {
    let (allowed, given) = match (allowed.split_once('='), given.split_once('=')) {
        (Some((name, range)), Some((same, value))) if name == same => (range, value),
        (None, None) => (allowed, given),
        _ => return false,
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let range = allowed.split_once("..").and_then(|(from, to)| Some((number(from)?, number(to)?)));
    match (range, number(given)) {
        (Some((from, to)), Some(given)) => (from..=to).contains(&given),
        _ => allowed == given,
    }
}

/// Names the first bound that a request does not keep. `arguments` are those that the plan will
/// really get, with defaults, so that the checked arguments are the ones that run. A bounded
/// argument that is absent exceeds its bound: `num_updates` instead of `epochs` does not evade it.
pub(crate) fn exceeded<'a>(
    bounds: &'a [Bound],
    request: &RoundRequest,
    arguments: &Arguments,
) -> Option<(&'a Bound, String)> {
    let tables = tables(&request.training, &request.data);
    let of_arguments = bounds.iter().filter(|bound| ![STEPS, ROWS].contains(&&*bound.key));
    of_arguments.into_iter().find_map(|bound| {
        let value = match table_value(&tables, &bound.key) {
            Some(value) => value.filter(|value| !value.is_null()),
            None => arguments.get(&bound.key).and_then(|v| serde_json::to_value(v).ok()),
        };
        match value {
            None => Some((bound, format!("without {}", bound.key))),
            Some(value) if bound.holds(&value) => None,
            Some(value) => Some((bound, format!("with {} = {value}", bound.key))),
        }
    })
}

/// Names the first bound that training of this length does not keep.
pub(crate) fn exceeded_by_length<'a>(
    bounds: &'a [Bound],
    length: &Length,
) -> Option<(&'a Bound, String)> {
    let (steps, rows) = (length.batches, length.rows_until(length.batches));
    bounds.iter().find_map(|bound| {
        let n = match &*bound.key {
            STEPS => steps,
            ROWS => rows,
            _ => return None,
        };
        (!bound.holds(&n.into())).then(|| (bound, format!("with {n}")))
    })
}

impl Bound {
    /// Whether there is such an argument: of training or data, or one that the plan announces.
    pub fn is_about<'a>(&self, announced: impl IntoIterator<Item = &'a str>) -> bool {
        // Columns have names of their own: `data.columns.age.impute=median`.
        if [STEPS, ROWS].contains(&&*self.key) || self.key.starts_with("data.columns.") {
            return true;
        }
        let data =
            DataArgs { inputs: Some(Vec::new().into()), memory_mib: Some(1), ..DataArgs::of("") };
        let data = DataArgs { split: Split::Stratified, ..data };
        let args = EVERY_TRAINING_ARG.iter().filter_map(|text| toml::from_str(text).ok());
        let args: Vec<_> = args.filter_map(|table| TrainingArgs::parse(table).ok()).collect();
        let mut found = None;
        for args in &args {
            if let Some(value) = table_value(&tables(args, &data), &self.key) {
                found = Some(found.unwrap_or(false) || value.is_some());
            }
        }
        match found {
            Some(is_there) => is_there,
            None => announced.into_iter().any(|name| name == self.key),
        }
    }
}

fn tables(training: &TrainingArgs, data: &DataArgs) -> [(&'static str, Value); 2] {
    [
        ("training", serde_json::to_value(training).unwrap_or_default()),
        ("data", serde_json::to_value(data).unwrap_or_default()),
    ]
}

/// The value of a key of the tables, if it is one of theirs.
fn table_value(tables: &[(&'static str, Value)], key: &str) -> Option<Option<Value>> {
    let (table, rest) = key.split_once('.')?;
    let (_, table) = tables.iter().find(|(name, _)| *name == table)?;
    Some(rest.split('.').try_fold(table, |value, part| value.get(part)).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bound_is_about_something_that_there_is() {
        for (text, is_about) in [
            ("training.epochs<=1", true),
            ("training.num_updates<=1", true),
            ("training.batch_maxnum<=1", true),
            ("training.test_batch_size<=1", true),
            ("training.log_interval>=10", true),
            ("training.steps<=1", true),
            ("training.rows<=1", true),
            ("training.loader_args.batch_size<=1", true),
            ("training.fedprox_mu<=1", true),
            ("training.dp_args.sigma>=1", true),
            ("data.target=x", true),
            ("data.inputs=x", true),
            ("data.split=stratified", true),
            ("data.columns.age.impute=median", true),
            ("optimizer.lr<=1", true),
            ("training.epoch<=1", false),
            ("optimizer.lrr<=1", false),
            ("data.path=x", false),
        ] {
            let bound: Bound = text.parse().unwrap();
            assert_eq!(bound.is_about(["optimizer.lr"]), is_about, "{text}");
        }
    }

    #[test]
    fn bounds_are_read_written_and_kept() {
        for (text, good, bad) in [
            ("training.epochs<=10", json!(10), json!(11)),
            ("optimizer.lr>=0.01", json!(0.01), json!(0.001)),
            ("model.hidden=16,32", json!([16, 32.0]), json!([16, 64])),
            ("data.target=benign", json!("benign"), json!("other")),
            ("training.epochs<=10", json!(1), json!("many")),
            ("model.flag=true", json!(true), json!(false)),
            ("model.hidden=16..32", json!([16, 32.0]), json!([16, 33])),
            ("optimizer.lr=-1..0.5", json!(0.5), json!("0.5 0.5")),
            ("model.layers<=2", json!(["relu", "linear 900"]), json!(["relu", "relu", "relu"])),
            ("model.layers>=1", json!(["relu"]), json!([])),
            ("model.hidden>=1", json!([16]), json!([])),
            ("model.layers<=2", json!([]), json!(["relu", "relu", "relu"])),
            ("model.layers=relu,linear 1..512", json!(["linear 512", "relu"]), json!(["linear 0"])),
            ("model.layers=linear 1..512", json!(["linear  1"]), json!(["linear 1", "relu"])),
            ("model.layers=linear 1..512", json!([]), json!(["linear"])),
            ("model.layers=linear 1..512", json!("linear 7"), json!("linear 7 bias=false")),
            ("model.layers=linear 1..512", json!("linear 7"), json!("linear nan")),
            ("model.layers=linear 1..512", json!("linear 7"), json!("linear 1..512x")),
            (
                "model.layers=conv2d 1..64 3 pad=0..2",
                json!("conv2d 8 3 pad=1"),
                json!("conv2d 8 3 pad=3"),
            ),
            (
                "model.layers=conv2d 1..64 3 pad=0..2",
                json!("conv2d 8 3 pad=1"),
                json!("conv2d 8 3 gap=1"),
            ),
            ("data.target=a..b", json!("a..b"), json!("aa")),
            ("data.target=b=1,c", json!("b=1"), json!("b=2")),
        ] {
            let bound: Bound = text.parse().unwrap();
            assert_eq!(bound.to_string(), text);
            assert!(bound.holds(&good) && !bound.holds(&bad), "{text}");
        }
        for text in
            ["epochs<=10", "training.<=1", "training.epochs<=x", "model.a", "", "model.a<=inf"]
        {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }
}
