//! The aggregators that a history names, as they were in each round.

use fedwasm_aggregate::{Aggregator, AggregatorArgs};
use fedwasm_protocol::Fields;
use serde_json::Value;

use crate::{OWN, method};

/// The aggregators of an experiment, one after the other.
#[derive(Default)]
pub(super) struct Methods {
    /// The section of the round before.
    section: Value,
    pub(super) aggregator: Option<Box<dyn Aggregator>>,
}

impl Methods {
    /// Takes the aggregator of the next round: the one of the round before, one of the same method
    /// with other settings that continues from its state, or a new one. False if it is not known.
    pub(super) fn go_on(
        &mut self,
        section: Option<&Value>,
        own: &mut Option<Box<dyn Aggregator>>,
    ) -> Result<bool, String> {
        let section = section.cloned().unwrap_or_default();
        if section == self.section && self.aggregator.is_some() {
            return Ok(true);
        }
        let is_same_method = method(Some(&section)) == method(Some(&self.section));
        let state = match self.aggregator.as_ref().filter(|_| is_same_method) {
            Some(old) => Some(old.state().map_err(|error| error.to_string())?),
            None => None,
        };
        self.section = section;
        self.aggregator = match self.own_name() {
            Some(name) => own.take_if(|own| own.name() == name),
            None => Some(aggregator_of(&self.section)?.build()),
        };
        if let (Some(state), Some(new)) = (state, &mut self.aggregator) {
            new.restore(&state).map_err(|error| error.to_string())?;
        }
        Ok(self.aggregator.is_some())
    }

    pub(super) fn own_name(&self) -> Option<String> {
        Some(self.section.get(OWN)?.as_str()?.to_owned())
    }
}

/// The aggregator that a history names.
fn aggregator_of(value: &Value) -> Result<AggregatorArgs, String> {
    let (name, settings) = match value {
        Value::String(name) => (name.clone(), Value::Null),
        Value::Object(object) => match object.iter().next() {
            Some((name, settings)) => (name.clone(), settings.clone()),
            None => return Err("the history names no aggregator".into()),
        },
        _ => return Err("the history names no aggregator".into()),
    };
    let mut table = match settings {
        Value::Object(settings) => {
            let settings = settings.into_iter().filter(|(_, value)| !value.is_null());
            let settings = Value::Object(settings.collect());
            toml::Table::try_from(settings).map_err(|error| error.to_string())?
        }
        _ => toml::Table::new(),
    };
    table.insert("name".into(), toml::Value::String(name));
    let mut fields = Fields::new("aggregator", table);
    let aggregator = AggregatorArgs::take(&mut fields);
    let mistakes = fields.finish();
    match mistakes.is_empty() {
        true => Ok(aggregator),
        false => Err(format!(
            "the history's aggregator: {}",
            fedwasm_protocol::sentences(&mistakes, ", ")
        )),
    }
}
