//! The table `[aggregator]` of an experiment's file: which method, and its
//! settings.

use fedwasm_protocol::Fields;
use serde::Serialize;

use crate::{
    AggregateError, Aggregator, Bulyan, FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi,
    Krum, Median, NormBound, Scaffold, TrimmedMean, Weights,
};

/// How updates become one model: a method and its settings, checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AggregatorArgs {
    /// The mean, weighted by samples (McMahan et al. 2017).
    #[default]
    FedAvg,
    /// The mean; nodes add the proximal term mu/2 |w - w0|^2 (Li et al. 2020).
    FedProx {
        /// Weight of the term, at least 0.
        mu: f64,
    },
    /// Control variates against the drift of nodes (Karimireddy et al. 2020).
    Scaffold {
        /// Step of the researcher, more than 0. Default 1.
        server_lr: f64,
    },
    /// Momentum at the researcher (Hsu et al. 2019).
    FedAvgM {
        /// Learning rate, more than 0. Default 1.
        lr: f64,
        /// In [0, 1). Default 0.9.
        momentum: f64,
    },
    /// Adagrad at the researcher (Reddi et al. 2021).
    FedAdagrad {
        /// Learning rate, more than 0. Default 0.1.
        lr: f64,
        /// In [0, 1). Default 0.
        beta_1: f64,
        /// Adaptivity, more than 0. Default 1e-3.
        tau: f64,
    },
    /// Adam at the researcher (Reddi et al. 2021).
    FedAdam(Moments),
    /// Yogi at the researcher (Reddi et al. 2021).
    FedYogi(Moments),
    /// The median of each coordinate (Yin et al. 2018).
    Median,
    /// The mean of each coordinate without its extremes (Yin et al. 2018).
    TrimmedMean {
        /// The share that is cut off on either side, in [0, 0.5). Default 0.2.
        beta: f64,
    },
    /// The update nearest to the others (Blanchard et al. 2017).
    Krum {
        /// Nodes that may lie.
        f: usize,
    },
    /// The mean of the `m` updates nearest to the others (Blanchard et al. 2017).
    MultiKrum {
        /// Nodes that may lie.
        f: usize,
        /// Updates that are averaged, at least 1.
        m: usize,
    },
    /// Krum again and again, then a trimmed mean (El Mhamdi et al. 2018).
    Bulyan {
        /// Nodes that may lie.
        f: usize,
    },
    /// The mean of updates whose distance is bounded (Sun et al. 2019).
    NormBound {
        /// The largest L2 norm of a difference, more than 0.
        bound: f64,
    },
}

/// Settings of Adam and Yogi at the researcher.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moments {
    /// Learning rate, more than 0. Default 0.1 (Adam), 0.01 (Yogi).
    pub lr: f64,
    /// In [0, 1). Default 0.9.
    pub beta_1: f64,
    /// In [0, 1). Default 0.99.
    pub beta_2: f64,
    /// Adaptivity, more than 0. Default 1e-3.
    pub tau: f64,
}

pub(crate) const NAMES: [&str; 13] = [
    "fedavg",
    "fedprox",
    "scaffold",
    "fedavgm",
    "fedadagrad",
    "fedadam",
    "fedyogi",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "bulyan",
    "norm_bound",
];

impl AggregatorArgs {
    /// Reads the table; mistakes go to `fields`.
    pub fn take(fields: &mut Fields) -> Self {
        let name = fields.one_of("name", &NAMES).map_or("fedavg", |at| NAMES[at]);
        match name {
            "fedprox" => Self::FedProx {
                mu: required(fields, "mu", |fields| {
                    fields.real("mu", "a number, at least 0", |mu| mu >= 0.0)
                }),
            },
            "scaffold" => Self::Scaffold { server_lr: positive(fields, "server_lr", 1.0) },
            "fedavgm" => Self::FedAvgM {
                lr: positive(fields, "lr", 1.0),
                momentum: below_one(fields, "momentum", 0.9),
            },
            "fedadagrad" => Self::FedAdagrad {
                lr: positive(fields, "lr", 0.1),
                beta_1: below_one(fields, "beta_1", 0.0),
                tau: positive(fields, "tau", 1e-3),
            },
            "fedadam" => Self::FedAdam(moments(fields, 0.1)),
            "fedyogi" => Self::FedYogi(moments(fields, 0.01)),
            "median" => Self::Median,
            "trimmed_mean" => {
                let rule = "0 <= beta < 0.5";
                let beta = fields.real("beta", rule, |beta| (0.0..0.5).contains(&beta));
                Self::TrimmedMean { beta: beta.unwrap_or(0.2) }
            }
            "krum" => Self::Krum { f: count(fields, "f", 0) },
            "multi_krum" => Self::MultiKrum { f: count(fields, "f", 0), m: count(fields, "m", 1) },
            "bulyan" => Self::Bulyan { f: count(fields, "f", 0) },
            "norm_bound" => Self::NormBound {
                bound: required(fields, "bound", |fields| {
                    fields.real("bound", "a number, more than 0", |bound| bound > 0.0)
                }),
            },
            _ => Self::FedAvg,
        }
    }

    /// The method's name in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FedAvg => "fedavg",
            Self::FedProx { .. } => "fedprox",
            Self::Scaffold { .. } => "scaffold",
            Self::FedAvgM { .. } => "fedavgm",
            Self::FedAdagrad { .. } => "fedadagrad",
            Self::FedAdam(_) => "fedadam",
            Self::FedYogi(_) => "fedyogi",
            Self::Median => "median",
            Self::TrimmedMean { .. } => "trimmed_mean",
            Self::Krum { .. } => "krum",
            Self::MultiKrum { .. } => "multi_krum",
            Self::Bulyan { .. } => "bulyan",
            Self::NormBound { .. } => "norm_bound",
        }
    }

    /// Checks that so many nodes are enough, before they train for nothing.
    ///
    /// # Errors
    /// [`AggregateError::TooFewNodes`].
    pub fn check_nodes(&self, got: usize) -> Result<(), AggregateError> {
        let (needed, rule) = match *self {
            Self::Krum { f } => (2 * f + 3, format!("2 f + 3 with f = {f}")),
            Self::MultiKrum { f, m } if m > f + 1 => {
                (f + m + 2, format!("f + m + 2 with f = {f} and m = {m}"))
            }
            Self::MultiKrum { f, .. } => (2 * f + 3, format!("2 f + 3 with f = {f}")),
            Self::Bulyan { f } => (4 * f + 3, format!("4 f + 3 with f = {f}")),
            _ => return Ok(()),
        };
        match got >= needed {
            true => Ok(()),
            false => {
                Err(AggregateError::TooFewNodes { aggregator: self.name(), needed, rule, got })
            }
        }
    }

    /// Says so if the method protects from nothing with so many nodes.
    pub fn warning(&self, n_nodes: usize) -> Option<String> {
        match *self {
            Self::TrimmedMean { beta } if beta > 0.0 && (beta * n_nodes as f64) < 1.0 => {
                let enough = 1.0 / n_nodes.max(1) as f64;
                Some(format!(
                    "trimmed_mean with beta = {beta} trims no update of {n_nodes} nodes, so it is \
                     the mean; for {n_nodes} nodes beta must be at least {enough:.3}"
                ))
            }
            _ => None,
        }
    }

    /// Whether a node counts by its rows, and not as one of several.
    pub fn weighs_rows(&self) -> bool {
        match self {
            Self::FedAvg
            | Self::FedProx { .. }
            | Self::FedAvgM { .. }
            | Self::FedAdagrad { .. }
            | Self::FedAdam(_)
            | Self::FedYogi(_)
            | Self::NormBound { .. } => true,
            Self::Scaffold { .. }
            | Self::Median
            | Self::TrimmedMean { .. }
            | Self::Krum { .. }
            | Self::MultiKrum { .. }
            | Self::Bulyan { .. } => false,
        }
    }

    /// How nodes weigh if sums of updates are enough ([`Aggregator::of_sums`]): for refusals before
    /// the first round.
    ///
    /// # Errors
    /// [`AggregateError::NeedsUpdates`], which names the methods for which they are.
    pub fn of_sums(&self) -> Result<Weights, AggregateError> {
        let aggregator = self.name().into();
        self.build().of_sums().ok_or(AggregateError::NeedsUpdates { aggregator })
    }

    /// Returns the method, at its start.
    pub fn build(&self) -> Box<dyn Aggregator> {
        match *self {
            Self::FedAvg => Box::new(FedAvg::new()),
            Self::FedProx { mu } => Box::new(FedProx::new(mu)),
            Self::Scaffold { server_lr } => Box::new(Scaffold::new(server_lr)),
            Self::FedAvgM { lr, momentum } => Box::new(FedAvgM::new(lr, momentum)),
            Self::FedAdagrad { lr, beta_1, tau } => Box::new(FedAdagrad::new(lr, beta_1, tau)),
            Self::FedAdam(Moments { lr, beta_1, beta_2, tau }) => {
                Box::new(FedAdam::new(lr, beta_1, beta_2, tau))
            }
            Self::FedYogi(Moments { lr, beta_1, beta_2, tau }) => {
                Box::new(FedYogi::new(lr, beta_1, beta_2, tau))
            }
            Self::Median => Box::new(Median::new()),
            Self::TrimmedMean { beta } => Box::new(TrimmedMean::new(beta)),
            Self::Krum { f } => Box::new(Krum::new(f, 1)),
            Self::MultiKrum { f, m } => Box::new(Krum::new(f, m)),
            Self::Bulyan { f } => Box::new(Bulyan::new(f)),
            Self::NormBound { bound } => Box::new(NormBound::new(bound)),
        }
    }
}

fn moments(fields: &mut Fields, lr: f64) -> Moments {
    Moments {
        lr: positive(fields, "lr", lr),
        beta_1: below_one(fields, "beta_1", 0.9),
        beta_2: below_one(fields, "beta_2", 0.99),
        tau: positive(fields, "tau", 1e-3),
    }
}

fn positive(fields: &mut Fields, key: &'static str, default: f64) -> f64 {
    fields.real(key, "a number, more than 0", |value| value > 0.0).unwrap_or(default)
}

fn below_one(fields: &mut Fields, key: &'static str, default: f64) -> f64 {
    let rule = format!("0 <= {key} < 1");
    fields.real(key, &rule, |value| (0.0..1.0).contains(&value)).unwrap_or(default)
}

fn count(fields: &mut Fields, key: &'static str, min: u64) -> usize {
    required(fields, key, |fields| fields.whole_until(key, min, 1 << 20).map(|n| n as f64)) as usize
}

/// Takes a setting without a default.
fn required(
    fields: &mut Fields,
    key: &'static str,
    take: impl FnOnce(&mut Fields) -> Option<f64>,
) -> f64 {
    if !fields.has(key) {
        fields.mistake(key, "is missing; the method has no default for it");
    }
    take(fields).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AggregatorArgs, String> {
        let mut fields = Fields::new("aggregator", toml::from_str(text).unwrap());
        let args = AggregatorArgs::take(&mut fields);
        let mistakes = fields.finish();
        if mistakes.is_empty() {
            Ok(args)
        } else {
            Err(fedwasm_protocol::sentences(&mistakes, "\n"))
        }
    }

    #[test]
    fn every_method_is_found_by_its_name() {
        for name in NAMES {
            let settings = match name {
                "fedprox" => "mu = 0.1",
                "krum" | "bulyan" => "f = 1",
                "multi_krum" => "f = 1\nm = 2",
                "norm_bound" => "bound = 2",
                _ => "",
            };
            let args = read(&format!("name = \"{name}\"\n{settings}")).unwrap();
            assert_eq!(args.name(), name);
            assert_eq!(args.build().name(), name);
        }
        assert_eq!(read("").unwrap(), AggregatorArgs::FedAvg);
    }

    #[test]
    fn too_few_nodes_are_seen_before_they_train() {
        for (args, needed) in [
            (AggregatorArgs::FedAvg, 0),
            (AggregatorArgs::Krum { f: 1 }, 5),
            (AggregatorArgs::MultiKrum { f: 1, m: 2 }, 5),
            (AggregatorArgs::MultiKrum { f: 1, m: 4 }, 7),
            (AggregatorArgs::Bulyan { f: 2 }, 11),
        ] {
            assert!(args.check_nodes(needed).is_ok());
            assert!(needed == 0 || args.check_nodes(needed - 1).is_err(), "{args:?}");
        }
        let trimmed = AggregatorArgs::TrimmedMean { beta: 0.2 };
        assert!(trimmed.warning(4).unwrap().contains("at least 0.250"));
        assert_eq!(trimmed.warning(5), None);
    }

    #[test]
    fn settings_are_checked_and_those_of_other_methods_refused() {
        for (text, expected) in [
            ("name = \"fedagv\"", "did you mean `fedavg`?"),
            ("name = \"fedprox\"", "`aggregator.mu` is missing"),
            ("name = \"fedadam\"\nbeta_1 = 1.0", "expected 0 <= beta_1 < 1"),
            ("name = \"fedadam\"\nmu = 1.0", "`aggregator.mu` is unknown"),
            ("name = \"trimmed_mean\"\nbeta = 0.5", "expected 0 <= beta < 0.5"),
            ("name = \"krum\"\nf = -1", "`aggregator.f` is -1"),
            ("name = \"norm_bound\"\nbound = 0", "expected a number, more than 0"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
