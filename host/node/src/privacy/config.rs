//! `[privacy]` and `[privacy.DATASET]` of `node.toml`: the operator's floors.

use std::collections::BTreeMap;
use std::fmt;

use fedwasm_privacy::{PARTIES_MAX, PARTIES_MIN};
use fedwasm_protocol::SecaggScheme;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The least and the largest noise multiplier: below, noise hides nothing; above, its variance would
/// leave the sampler's range.
const NOISE_MULTIPLIER: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// The same of a clip, whose lanes must be normal numbers.
const CLIP: std::ops::RangeInclusive<f64> = 1e-9..=1e9;
/// The defaults.
const DELTA: f64 = 1e-6;
const METRICS_DIGITS: u32 = 2;
const TIME_STEP_MS: u64 = 1_000;
/// The most significant digits of a metric: those of float64.
const METRICS_DIGITS_MAX: u32 = 17;
/// The longest step of times: ten minutes.
const TIME_STEP_MS_MAX: u64 = 600_000;

/// `[privacy]` of `node.toml`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Privacy {
    /// Whether scores leave with the counts and sums that they follow from. Default true.
    pub score_sums: bool,
    /// The fewest rows that are trained on, held out or scored, and that stand behind a number
    /// told while a round runs. Default 10; an approval may set another.
    pub min_rows: u64,
    /// Whether researchers hear losses and other numbers while a round runs. Default true.
    pub progress: bool,
    /// Differential privacy of all datasets without floors of their own.
    #[serde(flatten)]
    pub floors: Floors,
    /// Floors of single datasets; a key that is absent is that of all.
    #[serde(flatten)]
    pub datasets: BTreeMap<String, Floors>,
}

impl Default for Privacy {
    fn default() -> Self {
        let (floors, datasets) = (Floors::default(), BTreeMap::new());
        Self { score_sums: true, min_rows: 10, progress: true, floors, datasets }
    }
}

/// Differential privacy as an operator demands it. It holds in every round if there is a noise
/// multiplier; else in those whose request asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// The largest L2 norm of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// The standard deviation of the noise over the clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Delta of (epsilon, delta). Default 1e-6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// The largest epsilon of all rounds on a dataset together; no bound by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The numbers that leave beside parameters; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<String>>,
    /// Their significant digits. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_digits: Option<u32>,
    /// Answers leave, and times are told, in whole steps of so many milliseconds. Default 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_step_ms: Option<u64>,
    /// The schemes of secure aggregation, one of which every round must have. Without the key a
    /// round may have any or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg: Option<Vec<SecaggScheme>>,
    /// The fewest nodes of a secure sum. Default 3, which is the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_parties: Option<u32>,
    /// The largest magnitude of a value of an update that goes into a secure sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg_clip: Option<f64>,
    /// How many nodes of a secure sum are trusted to add their noise: each adds so much that the
    /// noise of this many has the multiplier. Default 1: this node's own has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub honest_parties: Option<u32>,
    /// Whether researchers get statistics of columns, and sums for the scales of a federation.
    /// Default true; under noise and where secure aggregation is demanded there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<bool>,
    /// The fewest values behind a number of statistics. Default `min_rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics_min_rows: Option<u64>,
    /// Whether statistics tell the smallest and the largest value of a column, which are those of
    /// single rows. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics_extremes: Option<bool>,
}

/// The keys of [`Floors`].
const FLOORS: [&str; 14] = [
    "clip",
    "noise_multiplier",
    "delta",
    "epsilon",
    "metrics",
    "metrics_digits",
    "time_step_ms",
    "secagg",
    "min_parties",
    "secagg_clip",
    "honest_parties",
    "statistics",
    "statistics_min_rows",
    "statistics_extremes",
];

impl Floors {
    /// Delta, which has a default.
    pub fn delta(&self) -> f64 {
        self.delta.unwrap_or(DELTA)
    }

    /// Significant digits of metrics, which have a default.
    pub fn metrics_digits(&self) -> u32 {
        self.metrics_digits.unwrap_or(METRICS_DIGITS)
    }

    /// Milliseconds of a step of times, which have a default.
    pub fn time_step_ms(&self) -> u64 {
        self.time_step_ms.unwrap_or(TIME_STEP_MS)
    }

    /// The fewest nodes of a secure sum, which has a default.
    pub fn min_parties(&self) -> u32 {
        self.min_parties.unwrap_or(PARTIES_MIN as u32)
    }

    /// How many nodes' noise has the multiplier, which has a default.
    pub fn honest_parties(&self) -> u32 {
        self.honest_parties.unwrap_or(1)
    }

    /// These floors, and for keys that they lack those of all datasets.
    fn over(&self, all: &Self) -> Self {
        let own = self.clone();
        Self {
            clip: own.clip.or(all.clip),
            noise_multiplier: own.noise_multiplier.or(all.noise_multiplier),
            delta: own.delta.or(all.delta),
            epsilon: own.epsilon.or(all.epsilon),
            metrics: own.metrics.or_else(|| all.metrics.clone()),
            metrics_digits: own.metrics_digits.or(all.metrics_digits),
            time_step_ms: own.time_step_ms.or(all.time_step_ms),
            secagg: own.secagg.or_else(|| all.secagg.clone()),
            min_parties: own.min_parties.or(all.min_parties),
            secagg_clip: own.secagg_clip.or(all.secagg_clip),
            honest_parties: own.honest_parties.or(all.honest_parties),
            statistics: own.statistics.or(all.statistics),
            statistics_min_rows: own.statistics_min_rows.or(all.statistics_min_rows),
            statistics_extremes: own.statistics_extremes.or(all.statistics_extremes),
        }
    }

    /// The first key whose value breaks its rule, and the rule.
    fn mistake(&self) -> Option<(&'static str, String)> {
        let within = |value: Option<f64>, range: &std::ops::RangeInclusive<f64>| {
            value.is_none_or(|value| range.contains(&value))
        };
        let needs =
            |key: &'static str, other: &str| Some((key, format!("is given without `{other}`")));
        if let Some(rule) = range_of_clip(self.clip) {
            return Some(("clip", rule));
        }
        if let Some(rule) = range_of_noise(self.noise_multiplier) {
            return Some(("noise_multiplier", rule));
        }
        if !within(self.delta, &(f64::MIN_POSITIVE..=0.5)) {
            return Some(("delta", "must be above 0 and at most 0.5".into()));
        }
        if self.epsilon.is_some_and(|epsilon| !(epsilon.is_finite() && epsilon > 0.0)) {
            return Some(("epsilon", "must be a finite number above 0".into()));
        }
        if self.metrics_digits.is_some_and(|digits| !(1..=METRICS_DIGITS_MAX).contains(&digits)) {
            return Some(("metrics_digits", format!("must be 1 to {METRICS_DIGITS_MAX}")));
        }
        if self.time_step_ms.is_some_and(|ms| !(1..=TIME_STEP_MS_MAX).contains(&ms)) {
            return Some(("time_step_ms", format!("must be 1 to {TIME_STEP_MS_MAX}")));
        }
        if self.secagg.as_ref().is_some_and(Vec::is_empty) {
            let rule = "must name `masking`, `double_masking` or both; without the key rounds may do \
                        without";
            return Some(("secagg", rule.into()));
        }
        let (least, most) = (PARTIES_MIN as u32, PARTIES_MAX as u32);
        if self.min_parties.is_some_and(|n| !(least..=most).contains(&n)) {
            return Some(("min_parties", format!("must be {least} to {most}")));
        }
        if let Some(rule) = range_of_clip(self.secagg_clip) {
            return Some(("secagg_clip", rule));
        }
        if self.honest_parties.is_some_and(|n| !(1..=most).contains(&n)) {
            return Some(("honest_parties", format!("must be 1 to {most}")));
        }
        match self {
            Self { clip: None, noise_multiplier: Some(_), .. } => needs("noise_multiplier", "clip"),
            Self { clip: Some(_), noise_multiplier: None, .. } => needs("clip", "noise_multiplier"),
            // A budget that rounds without noise did not count would bound nothing.
            Self { epsilon: Some(_), noise_multiplier: None, .. } => {
                needs("epsilon", "noise_multiplier")
            }
            _ => None,
        }
    }
}

/// The rule for a clip, if it breaks it.
pub(super) fn range_of_clip(clip: Option<f64>) -> Option<String> {
    clip.filter(|clip| !CLIP.contains(clip)).map(|_| "must be 1e-9 to 1e9".to_owned())
}

/// The rule for a noise multiplier, if it breaks it.
pub(super) fn range_of_noise(noise_multiplier: Option<f64>) -> Option<String> {
    let wrong = noise_multiplier.filter(|z| !NOISE_MULTIPLIER.contains(z));
    wrong.map(|_| "must be 0.01 to 100".to_owned())
}

impl Privacy {
    /// The floors of a dataset.
    pub fn floors_of(&self, dataset: &str) -> Floors {
        match self.datasets.get(dataset) {
            Some(own) => own.over(&self.floors),
            None => self.floors.clone(),
        }
    }

    /// The keys whose values break their rules, with the rules.
    pub(crate) fn mistakes(&self) -> Vec<(String, String)> {
        let of_all = self.floors.mistake().map(|(key, rule)| (format!("privacy.{key}"), rule));
        let of_one = self.datasets.keys().filter_map(|name| {
            let (key, rule) = self.floors_of(name).mistake()?;
            Some((format!("privacy.{name}.{key}"), rule))
        });
        // A mistake for all is one for each: told once.
        match of_all {
            Some(mistake) => vec![mistake],
            None => of_one.collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Privacy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Privacy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of floors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Privacy, A::Error> {
                let mut privacy = Privacy::default();
                let floors = &mut privacy.floors;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "min_rows" => privacy.min_rows = map.next_value()?,
                        "progress" => privacy.progress = map.next_value()?,
                        "score_sums" => privacy.score_sums = map.next_value()?,
                        "clip" => floors.clip = Some(map.next_value()?),
                        "noise_multiplier" => floors.noise_multiplier = Some(map.next_value()?),
                        "delta" => floors.delta = Some(map.next_value()?),
                        "epsilon" => floors.epsilon = Some(map.next_value()?),
                        "metrics" => floors.metrics = Some(map.next_value()?),
                        "metrics_digits" => floors.metrics_digits = Some(map.next_value()?),
                        "time_step_ms" => floors.time_step_ms = Some(map.next_value()?),
                        "secagg" => floors.secagg = Some(map.next_value()?),
                        "min_parties" => floors.min_parties = Some(map.next_value()?),
                        "secagg_clip" => floors.secagg_clip = Some(map.next_value()?),
                        "honest_parties" => floors.honest_parties = Some(map.next_value()?),
                        "statistics" => floors.statistics = Some(map.next_value()?),
                        "statistics_min_rows" => {
                            floors.statistics_min_rows = Some(map.next_value()?);
                        }
                        "statistics_extremes" => {
                            floors.statistics_extremes = Some(map.next_value()?);
                        }
                        _ => match map.next_value::<Entry>()? {
                            Entry::Dataset(floors) => {
                                privacy.datasets.insert(key, floors);
                            }
                            Entry::Other => return Err(A::Error::custom(unknown(&key))),
                        },
                    }
                }
                Ok(privacy)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A value under a key that is none of `[privacy]`: the floors of a dataset, or a mistake.
enum Entry {
    Dataset(Floors),
    Other,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the floors of a dataset")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                Floors::deserialize(map).map(Entry::Dataset)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Entry, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry::Other)
            }
        }
        deserializer.deserialize_any(Values)
    }
}

fn unknown(key: &str) -> String {
    let known = ["min_rows", "progress", "score_sums"]
        .into_iter()
        .chain(FLOORS)
        .collect::<Vec<_>>()
        .join("`, `");
    format!("unknown field `{key}`, expected `{known}` or a table with the name of a dataset")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Privacy, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn a_dataset_takes_the_floors_of_all_for_keys_that_it_lacks() {
        let text = "clip = 1.0\nnoise_multiplier = 1.0\nmetrics = [\"accuracy\"]\n\
                    [mri]\nnoise_multiplier = 2\nepsilon = 3.0\n";
        let privacy = read(text).unwrap();
        assert_eq!((privacy.min_rows, privacy.progress, privacy.score_sums), (10, true, true));
        assert!(!read("score_sums = false").unwrap().score_sums);
        let own = privacy.floors_of("mri");
        assert_eq!(
            (own.clip, own.noise_multiplier, own.epsilon),
            (Some(1.0), Some(2.0), Some(3.0))
        );
        assert_eq!(own.metrics.as_deref(), Some(&["accuracy".to_owned()][..]));
        assert_eq!(privacy.floors_of("other").noise_multiplier, Some(1.0));
        assert_eq!(privacy.mistakes(), []);
        let text = "secagg = [\"masking\"]\n[mri]\nmin_parties = 5\n";
        let own = read(text).unwrap().floors_of("mri");
        assert_eq!((own.secagg, own.min_parties), (Some(vec![SecaggScheme::Masking]), Some(5)));
        assert!(read("secagg = [\"none\"]").is_err());
        let again: Privacy = read(&toml::to_string(&privacy).unwrap()).unwrap();
        assert_eq!(again, privacy);
        assert_eq!(read(&toml::to_string(&Privacy::default()).unwrap()), Ok(Privacy::default()));
    }

    #[test]
    fn unknown_keys_are_mistakes() {
        for text in ["clipp = 1.0", "noise = true", "metric = [\"a\"]", "x = \"y\"", "x = 1"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("unknown field") && error.contains("a dataset"), "{error}");
        }
        let error = read("[mri]\nclipp = 1.0").unwrap_err();
        assert!(error.contains("unknown field `clipp`"), "{error}");
        assert!(read("clip = \"1\"").is_err() && read("[mri]\nmin_rows = 3").is_err());
    }

    #[test]
    fn floors_that_hold_nothing_are_mistakes() {
        for (text, key) in [
            ("clip = 1.0", "privacy.clip"),
            ("noise_multiplier = 1.0", "privacy.noise_multiplier"),
            ("epsilon = 1.0", "privacy.epsilon"),
            ("clip = nan\nnoise_multiplier = 1.0", "privacy.clip"),
            ("clip = 0.0\nnoise_multiplier = 1.0", "privacy.clip"),
            ("clip = 1.0\nnoise_multiplier = 0.0", "privacy.noise_multiplier"),
            ("clip = 1.0\nnoise_multiplier = nan", "privacy.noise_multiplier"),
            ("clip = 1.0\nnoise_multiplier = 101.0", "privacy.noise_multiplier"),
            ("clip = 1.0\nnoise_multiplier = 1.0\nepsilon = inf", "privacy.epsilon"),
            ("clip = 1.0\nnoise_multiplier = 1.0\nepsilon = 0.0", "privacy.epsilon"),
            ("delta = 0.0", "privacy.delta"),
            ("delta = 1.0", "privacy.delta"),
            ("metrics_digits = 0", "privacy.metrics_digits"),
            ("time_step_ms = 0", "privacy.time_step_ms"),
            ("[mri]\nclip = 2.0", "privacy.mri.clip"),
            ("secagg = []", "privacy.secagg"),
            ("min_parties = 2", "privacy.min_parties"),
            ("min_parties = 65", "privacy.min_parties"),
            ("secagg_clip = 0.0", "privacy.secagg_clip"),
            ("[mri]\nsecagg_clip = nan", "privacy.mri.secagg_clip"),
            ("honest_parties = 0", "privacy.honest_parties"),
        ] {
            let mistakes = read(text).unwrap().mistakes();
            assert_eq!(mistakes.len(), 1, "{text}");
            assert_eq!(mistakes[0].0, key, "{text}");
        }
    }
}
