//! The aggregators that a history names, as they were in each round.

use fedwasm_aggregate::{AggregateError, Aggregator, AggregatorArgs};
use fedwasm_protocol::Fields;
use serde_json::Value;

use crate::{CentralArgs, NoiseSeed, OWN, carried, method, noised};

/// Noise of the aggregator, and its seed if that is there.
pub(super) type Noise = (CentralArgs, Option<NoiseSeed>);

/// The part without which a round cannot be computed again.
pub(super) enum Unknown {
    /// The researcher's own aggregator of this name.
    Own(String),
    /// The seed of the noise.
    Noise,
}

/// The aggregators of an experiment, one after the other.
pub(super) struct Methods {
    /// Noise that all of them have, and its seed if it is known.
    noise: Option<Noise>,
    /// Whether only sums of updates are known.
    of_sums: bool,
    /// The section of the round before.
    section: Value,
    pub(super) aggregator: Option<Box<dyn Aggregator>>,
}

impl Methods {
    /// Before the first round.
    ///
    /// * `of_sums` — whether only sums of updates are known.
    pub(super) fn of(noise: Option<Noise>, of_sums: bool) -> Self {
        Self { noise, of_sums, section: Value::Null, aggregator: None }
    }

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
        let of = |error: AggregateError| error.to_string();
        let args = self.noise.as_ref().map(|(args, _)| args);
        let state = match &self.aggregator {
            Some(old) if is_same_method => Some(old.state().map_err(of)?),
            Some(old) => carried(args, &old.state().map_err(of)?).map_err(of)?,
            None => None,
        };
        self.section = section;
        let inner = match self.own_name() {
            Some(name) => own.take_if(|own| own.name() == name),
            None => Some(aggregator_of(&self.section)?.build()),
        };
        self.aggregator = match (inner, &self.noise) {
            (Some(inner), Some((args, Some(seed)))) => Some(noised(args, seed, inner).map_err(of)?),
            (_, Some((_, None))) => None,
            (inner, None) | (inner @ None, _) => inner,
        };
        if let Some(new) = self.aggregator.as_mut().filter(|_| self.of_sums) {
            new.expect_sums().map_err(of)?;
        }
        if let (Some(state), Some(new)) = (state, &mut self.aggregator) {
            new.restore(&state).map_err(of)?;
        }
        Ok(self.aggregator.is_some())
    }

    /// The reason for which the rounds of now cannot be computed.
    pub(super) fn unknown(&self) -> Option<Unknown> {
        match (&self.noise, self.own_name()) {
            (Some((_, None)), _) => Some(Unknown::Noise),
            (_, name) => name.map(Unknown::Own),
        }
    }

    fn own_name(&self) -> Option<String> {
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
