//! Bounds on arguments: what an approval of a plan covers.

use std::fmt;
use std::str::FromStr;

use fedwasm_protocol::RoundRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A bound on one argument, written `training.epochs<=10`, `optimizer.lr>=0.01`
/// or `model.hidden=16,32`. An argument that is not given has the plan's own
/// default, which whoever approved it has seen.
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

/// A text that is no bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no bound: KEY<=NUMBER, KEY>=NUMBER or KEY=VALUE,VALUE")]
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
        let (key, limit) = match (text.split_once("<="), text.split_once(">=")) {
            (Some((key, max)), _) => (key, Limit::AtMost(number(max)?)),
            (_, Some((key, min))) => (key, Limit::AtLeast(number(min)?)),
            _ => {
                let (key, values) = text.split_once('=').ok_or_else(wrong)?;
                let values = values.split(',').map(|value| value.trim().to_owned()).collect();
                (key, Limit::OneOf(values))
            }
        };
        let key = key.trim();
        let tables = ["model.", "optimizer.", "aggregator.", "training.", "data."];
        if !tables.iter().any(|table| key.len() > table.len() && key.starts_with(table)) {
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
    /// Whether a value keeps the bound; a list does if each of its values does.
    fn holds(&self, value: &Value) -> bool {
        if let Value::Array(values) = value {
            return values.iter().all(|value| self.holds(value));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        // A bound that is no number was refused when it was read.
        let number = |bound: &str| bound.parse::<f64>().unwrap_or(f64::NAN);
        match &self.limit {
            Limit::AtMost(max) => value.as_f64().is_some_and(|value| value <= number(max)),
            Limit::AtLeast(min) => value.as_f64().is_some_and(|value| value >= number(min)),
            Limit::OneOf(values) => values.iter().any(|allowed| {
                let same = allowed.parse::<f64>().ok().zip(value.as_f64());
                *allowed == text || same.is_some_and(|(a, b)| a == b)
            }),
        }
    }
}

/// Names the first bound that a request does not keep.
pub(crate) fn exceeded<'a>(
    bounds: &'a [Bound],
    request: &RoundRequest,
) -> Option<(&'a Bound, String)> {
    let tables = [
        ("training", serde_json::to_value(&request.training).unwrap_or_default()),
        ("data", serde_json::to_value(&request.data).unwrap_or_default()),
    ];
    let argument = |key: &str| -> Option<Value> {
        if let Some((table, rest)) = key.split_once('.')
            && let Some((_, table)) = tables.iter().find(|(name, _)| *name == table)
        {
            let found = rest.split('.').try_fold(table, |value, part| value.get(part));
            return found.filter(|value| !value.is_null()).cloned();
        }
        let optimizer = &request.training.optimizer_args;
        let found = [&request.model, optimizer, &request.aggregator];
        let found = found.iter().find_map(|arguments| arguments.get(key))?;
        serde_json::to_value(found).ok()
    };
    bounds.iter().find_map(|bound| {
        let value = argument(&bound.key)?;
        (!bound.holds(&value)).then(|| (bound, format!("{} = {value}", bound.key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_are_read_written_and_kept() {
        for (text, good, bad) in [
            ("training.epochs<=10", json!(10), json!(11)),
            ("optimizer.lr>=0.01", json!(0.01), json!(0.001)),
            ("model.hidden=16,32", json!([16, 32.0]), json!([16, 64])),
            ("data.target=benign", json!("benign"), json!("other")),
            ("training.epochs<=10", json!(1), json!("many")),
            ("model.flag=true", json!(true), json!(false)),
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
