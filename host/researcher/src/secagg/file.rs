//! The table `[secagg]` of an experiment's file.

use fedwasm_protocol::{Fields, SECAGG_BITS, SECAGG_CLIP, SECAGG_METRICS_CLIP, SecaggScheme};
use serde::Serialize;

/// Secure aggregation of an experiment, checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecaggSettings {
    /// How updates are hidden in their sum.
    pub scheme: SecaggScheme,
    /// The fewest nodes of a sum, at least 3.
    pub min_parties: u32,
    /// Values of an update are limited to ± this (Fed-BioMed `clipping_range`).
    pub clip: f64,
    /// Bits of a quantised value, 2 to 32.
    pub bits: u32,
    /// The largest magnitude of a loss or a metric.
    pub metrics_clip: f64,
    /// The check value, in [0, 1); if it is absent, one is drawn for each round where the contexts
    /// of Fed-BioMed are named.
    pub random: Option<f64>,
    /// Fed-BioMed's names of the context, both or neither.
    pub servkey_id: Option<String>,
    /// See `servkey_id`.
    pub biprime_id: Option<String>,
}

/// The fewest nodes of a sum: of two, each learns the other's part.
const MIN_PARTIES: u32 = 3;

impl SecaggSettings {
    /// The usual settings of a scheme.
    pub fn of(scheme: SecaggScheme) -> Self {
        Self {
            scheme,
            min_parties: MIN_PARTIES,
            clip: SECAGG_CLIP,
            bits: SECAGG_BITS,
            metrics_clip: SECAGG_METRICS_CLIP,
            random: None,
            servkey_id: None,
            biprime_id: None,
        }
    }

    /// Reads the table; mistakes go to `fields`.
    pub(crate) fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("secagg") {
            return None;
        }
        let mut table = fields.table("secagg");
        let schemes = [SecaggScheme::Masking, SecaggScheme::DoubleMasking];
        let names = schemes.map(SecaggScheme::name);
        let (servkey_id, biprime_id) = (table.text("servkey_id"), table.text("biprime_id"));
        let is_of_seed = servkey_id.is_some() || biprime_id.is_some();
        if !table.has("scheme") && !is_of_seed {
            table.mistake("scheme", "is missing, expected `masking` or `double_masking`");
        }
        let scheme = table.one_of("scheme", &names).map_or(schemes[0], |at| schemes[at]);
        let usual = Self::of(scheme);
        let range = "a number, more than 0";
        let clip = table.real("clip", range, |clip| clip > 0.0);
        let clipping_range = table.whole_until("clipping_range", 1, u64::from(u32::MAX));
        if clip.is_some() && clipping_range.is_some() {
            table.mistake("clipping_range", "is given beside `clip`; leave one of them out");
        }
        let settings = Self {
            min_parties: table
                .whole_until("min_parties", u64::from(MIN_PARTIES), 64)
                .map_or(MIN_PARTIES, |n| n as u32),
            clip: clip.or(clipping_range.map(|range| range as f64)).unwrap_or(usual.clip),
            bits: table.whole_until("bits", 2, 32).map_or(usual.bits, |bits| bits as u32),
            metrics_clip: table
                .real("metrics_clip", range, |clip| clip > 0.0)
                .unwrap_or(usual.metrics_clip),
            random: table.real("random", "0 <= random < 1", |random| (0.0..1.0).contains(&random)),
            servkey_id,
            biprime_id,
            ..usual
        };
        if is_of_seed {
            for (key, given) in
                [("servkey_id", &settings.servkey_id), ("biprime_id", &settings.biprime_id)]
            {
                if given.is_none() {
                    table.mistake(key, "is missing; both contexts are needed");
                }
            }
        }
        fields.absorb(table);
        Some(settings)
    }
}
