//! How a round trains (Fed-BioMed `TrainingArgs`).

use serde::{Deserialize, Serialize};
use toml::{Table, Value as TomlValue};

use crate::arguments::flatten_table;
use crate::arguments::prefix::OPTIMIZER;
use crate::fields::Fields;
use crate::mistakes::{Mistake, sentences};
use crate::{Arguments, Compression, Metric};

/// How a round trains (Fed-BioMed `TrainingArgs`). Exists only if every rule
/// holds; see the fields for the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table")]
pub struct TrainingArgs {
    /// How long training is: `epochs`, with `batch_maxnum` or without, or `num_updates`.
    #[serde(flatten)]
    pub budget: Budget,
    /// Whether training stops after one batch. Default false.
    pub dry_run: bool,
    /// How batches are made.
    pub loader_args: LoaderArgs,
    /// Arguments of the optimizer, keys starting with `optimizer.`.
    #[serde(serialize_with = "without_prefix")]
    pub optimizer_args: Arguments,
    /// Weight of the proximal term mu/2 |w - w0|^2, at least 0 (Li et al. 2020).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fedprox_mu: Option<f64>,
    /// Differential privacy; a node that cannot enforce it refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dp_args: Option<DpArgs>,
    /// How updates travel in fewer bytes; none: whole parameters do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Whether a GPU is asked for. Plans never get one: a warning, and the
    /// reply names the device. Default false.
    pub use_gpu: bool,
    /// Loss is reported every so many batches, and at the first and the last
    /// of an epoch; at least 1. Default 10.
    pub log_interval: u64,
    /// The share of rows that is held out, in [0, 1).
    pub test_ratio: f64,
    /// Rows of a batch when rows are scored; 0 or none: 1,024. Fewer if they
    /// would not cross at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_batch_size: Option<u32>,
    /// Whether other rows are held out in every round. Default false: the same
    /// ones in the whole experiment.
    pub shuffle_testing_dataset: bool,
    /// Whether running statistics, such as those of batch normalisation, go to the researcher.
    /// Default true; a plan that has some announces `model.share_persistent_buffers`.
    pub share_persistent_buffers: bool,
    /// Whether the parameters trained at a node are scored there.
    pub test_on_local_updates: bool,
    /// Whether the aggregated parameters are scored at the nodes.
    pub test_on_global_updates: bool,
    /// The metric that curves and tables lead with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_metric: Option<Metric>,
    /// Where all randomness of the run comes from; below 2^63, so that every
    /// file format can hold it. Drawn and recorded if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<u64>,
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoaderArgs {
    /// Rows of a batch, at least 1. Default 32.
    pub batch_size: u32,
    /// Whether rows are shuffled anew in every epoch. Default true.
    pub shuffle: bool,
    /// Whether an incomplete last batch is dropped. Default false.
    pub drop_last: bool,
    /// Which rows an epoch has.
    #[serde(skip_serializing_if = "Sampling::is_each")]
    pub sampling: Sampling,
}

/// Which rows an epoch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Each training row once.
    #[default]
    Each,
    /// As many rows as there are training rows, drawn with replacement: a class of the target, each
    /// that has training rows with the same probability, and a row of it.
    Balanced,
}

impl Sampling {
    const NAMES: [&str; 2] = ["each", "balanced"];

    /// Whether it is the default.
    // serde's signature.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    fn is_each(&self) -> bool {
        *self == Self::Each
    }
}

impl Default for LoaderArgs {
    fn default() -> Self {
        Self { batch_size: 32, shuffle: true, drop_last: false, sampling: Sampling::Each }
    }
}

/// Differential privacy as Fed-BioMed asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DpArgs {
    /// The place where the noise is added.
    #[serde(rename = "type")]
    pub kind: DpKind,
    /// Noise multiplier, at least 0.
    pub sigma: f64,
    /// The largest L2 norm of a gradient, more than 0.
    pub clip: f64,
}

/// The place where the noise of differential privacy is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DpKind {
    /// Noise once, on the trained parameters.
    Central,
    /// Noise on every gradient.
    Local,
}

/// The most rows of a batch: each has at least one float32, and a tensor of at most 16 MiB
/// crosses to a plan at once.
pub const BATCH_ROWS_MAX: u32 = 1 << 22;

/// When a round ends: after passes or after steps, so that a bound on one cannot be
/// passed by giving the other beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Budget {
    /// After so many passes over the training rows.
    Epochs {
        /// Passes.
        epochs: u64,
        /// The most batches of a pass; all if none.
        #[serde(skip_serializing_if = "Option::is_none")]
        batch_maxnum: Option<u64>,
    },
    /// After so many optimizer steps.
    Updates {
        /// Steps.
        num_updates: u64,
    },
}

impl TrainingArgs {
    /// When a round ends: after one step with `dry_run`, else as `budget` says.
    pub fn effective_budget(&self) -> Budget {
        if self.dry_run { Budget::Updates { num_updates: 1 } } else { self.budget }
    }

    /// Reads training arguments.
    ///
    /// # Errors
    /// [`TrainingArgsError`] with all mistakes at once.
    pub fn parse(table: Table) -> Result<Self, TrainingArgsError> {
        Self::parse_named("", table)
    }

    /// Reads training arguments; messages call their table `name`.
    ///
    /// # Errors
    /// [`TrainingArgsError`] with all mistakes at once.
    pub fn parse_named(name: &str, table: Table) -> Result<Self, TrainingArgsError> {
        let mut fields = Fields::new(name, table);
        let args = read(&mut fields);
        fields.belongs(&["batch_size", "shuffle", "drop_last", "sampling"], "loader_args");
        fields.belongs(&["lr", "momentum", "weight_decay"], "optimizer_args");
        match fields.finish() {
            mistakes if mistakes.is_empty() => Ok(args),
            mistakes => Err(TrainingArgsError { mistakes }),
        }
    }
}

/// Training arguments that break rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentences(mistakes, "\n"))]
pub struct TrainingArgsError {
    /// One line for each mistake: the key, its value, the expectation.
    pub mistakes: Vec<Mistake>,
}

impl TryFrom<Table> for TrainingArgs {
    type Error = TrainingArgsError;

    fn try_from(table: Table) -> Result<Self, TrainingArgsError> {
        Self::parse(table)
    }
}

/// Takes all keys; the mistakes are in `fields` afterwards.
fn read(fields: &mut Fields) -> TrainingArgs {
    let budget = budget(fields);
    let optimizer_args = optimizer_args(fields);
    let args = TrainingArgs {
        budget,
        dry_run: fields.boolean("dry_run").unwrap_or(false),
        loader_args: loader_args(fields),
        optimizer_args,
        fedprox_mu: fields.real("fedprox_mu", "a number, at least 0", |mu| mu >= 0.0),
        dp_args: dp_args(fields),
        compression: fields
            .one_of("compression", &Compression::NAMES)
            .map(|at| Compression::ALL[at]),
        use_gpu: fields.boolean("use_gpu").unwrap_or(false),
        log_interval: fields.whole("log_interval", 1).unwrap_or(10),
        test_ratio: test_ratio(fields),
        test_batch_size: fields
            .whole_until("test_batch_size", 0, u64::from(BATCH_ROWS_MAX))
            .map(|rows| rows as u32),
        shuffle_testing_dataset: fields.boolean("shuffle_testing_dataset").unwrap_or(false),
        share_persistent_buffers: fields.boolean("share_persistent_buffers").unwrap_or(true),
        test_on_local_updates: fields.boolean("test_on_local_updates").unwrap_or(false),
        test_on_global_updates: fields.boolean("test_on_global_updates").unwrap_or(false),
        test_metric: fields.one_of("test_metric", &Metric::NAMES).map(|at| Metric::ALL[at]),
        random_seed: fields.whole("random_seed", 0),
    };
    // A key of the reference that means nothing here.
    match fields.value("test_metric_args") {
        None => {}
        Some(TomlValue::Table(table)) if table.is_empty() => {}
        Some(_) => {
            let what = "is given; the host's metrics take no arguments, leave it out";
            fields.mistake("test_metric_args", what);
        }
    }
    args
}

/// Takes the length of training; if both keys are given, neither counts.
fn budget(fields: &mut Fields) -> Budget {
    match (fields.has("epochs"), fields.has("num_updates")) {
        (false, false) => {
            fields.rule("neither `epochs` nor `num_updates` is given; say how long a round trains");
        }
        (true, true) => {
            fields.rule("`epochs` and `num_updates` are both given; leave one of them out");
        }
        (false, true) if fields.has("batch_maxnum") => {
            let what =
                "is given with `num_updates`; it bounds the batches of an epoch, leave it out";
            fields.mistake("batch_maxnum", what);
        }
        _ => {}
    }
    let (epochs, num_updates) = (fields.whole("epochs", 0), fields.whole("num_updates", 0));
    let batch_maxnum = fields.whole("batch_maxnum", 0);
    match (epochs, num_updates) {
        (None, Some(num_updates)) => Budget::Updates { num_updates },
        (epochs, _) => Budget::Epochs { epochs: epochs.unwrap_or(0), batch_maxnum },
    }
}

fn test_ratio(fields: &mut Fields) -> f64 {
    let flags = ["test_on_local_updates", "test_on_global_updates"];
    let set: Vec<&str> = flags.into_iter().filter(|flag| fields.is_true(flag)).collect();
    let given = fields.has("test_ratio");
    let rule = "0 <= test_ratio < 1";
    let ratio = fields.real("test_ratio", rule, |ratio| (0.0..1.0).contains(&ratio));
    if ratio == Some(0.0) || !given {
        for flag in set {
            let what = "is set but `test_ratio` is 0; hold rows out, such as `test_ratio = 0.2`";
            fields.mistake(flag, what);
        }
    }
    ratio.unwrap_or(0.0)
}

fn loader_args(fields: &mut Fields) -> LoaderArgs {
    let mut table = fields.table("loader_args");
    let default = LoaderArgs::default();
    let args = LoaderArgs {
        batch_size: table
            .whole_until("batch_size", 1, u64::from(BATCH_ROWS_MAX))
            .map_or(default.batch_size, |rows| rows as u32),
        shuffle: table.boolean("shuffle").unwrap_or(default.shuffle),
        drop_last: table.boolean("drop_last").unwrap_or(default.drop_last),
        sampling: match table.one_of("sampling", &Sampling::NAMES) {
            Some(1) => Sampling::Balanced,
            _ => Sampling::Each,
        },
    };
    if args.sampling == Sampling::Balanced && !args.shuffle {
        table.mistake("sampling", "draws rows, but `shuffle` is false; leave one of them out");
    }
    fields.absorb(table);
    args
}

fn dp_args(fields: &mut Fields) -> Option<DpArgs> {
    if !fields.has("dp_args") {
        return None;
    }
    let mut table = fields.table("dp_args");
    let kind = match table.one_of("type", &["central", "local"]) {
        Some(1) => DpKind::Local,
        _ => DpKind::Central,
    };
    for key in ["sigma", "clip"] {
        if !table.has(key) {
            table.mistake(key, "is missing");
        }
    }
    let sigma = table.real("sigma", "a number, at least 0", |sigma| sigma >= 0.0);
    let clip = table.real("clip", "a number, more than 0", |clip| clip > 0.0);
    fields.absorb(table);
    Some(DpArgs { kind, sigma: sigma?, clip: clip? })
}

fn optimizer_args(fields: &mut Fields) -> Arguments {
    let mut arguments = Arguments::new();
    let mut mistakes = Vec::new();
    match fields.value("optimizer_args") {
        None => {}
        Some(TomlValue::Table(table)) => {
            flatten_table(OPTIMIZER, table, &mut arguments, &mut mistakes);
        }
        Some(_) => fields.mistake("optimizer_args", "is not a table"),
    }
    for key in mistakes {
        let key = key.replacen(OPTIMIZER, "optimizer_args.", 1);
        fields.mistake(&key, "is not a truth value, number, text, or list of one of these");
    }
    arguments
}

fn without_prefix<S: serde::Serializer>(
    args: &Arguments,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let short = |key: &str| key.strip_prefix(OPTIMIZER).unwrap_or(key).to_owned();
    serializer.collect_map(args.iter().map(|(key, value)| (short(key), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn parse(text: &str) -> Result<TrainingArgs, String> {
        let table = toml::from_str(text).map_err(|error| error.to_string())?;
        TrainingArgs::parse(table).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let args = parse("epochs = 1").unwrap();
        assert_eq!(args.test_ratio, 0.0);
        assert!(!args.test_on_local_updates && !args.test_on_global_updates);
        assert!(!args.dry_run && !args.use_gpu && !args.shuffle_testing_dataset);
        assert_eq!((args.log_interval, args.fedprox_mu, args.dp_args), (10, None, None));
        assert_eq!(args.budget, Budget::Epochs { epochs: 1, batch_maxnum: None });
        assert_eq!(args.test_metric, None);
    }

    #[test]
    fn a_round_ends_after_epochs_or_after_steps_and_never_both() {
        let budget = |text| parse(text).unwrap().effective_budget();
        assert_eq!(budget("num_updates = 7"), Budget::Updates { num_updates: 7 });
        assert_eq!(
            budget("epochs = 4\nbatch_maxnum = 3"),
            Budget::Epochs { epochs: 4, batch_maxnum: Some(3) }
        );
        let one = Budget::Updates { num_updates: 1 };
        assert_eq!(budget("epochs = 4\ndry_run = true"), one);
        for (text, expected) in [
            ("epochs = 3\nnum_updates = 7", "`epochs` and `num_updates` are both given"),
            ("num_updates = 7\nbatch_maxnum = 2", "`batch_maxnum` is given with `num_updates`"),
        ] {
            let mistakes = parse(text).unwrap_err();
            assert!(mistakes.contains(expected) && mistakes.lines().count() == 1, "{mistakes}");
        }
    }

    #[test]
    fn arguments_are_written_as_they_are_read() {
        let balanced = parse("epochs = 1\nloader_args = { sampling = 'balanced' }").unwrap();
        let bytes = rmp_serde::to_vec_named(&balanced).unwrap();
        assert_eq!(rmp_serde::from_slice::<TrainingArgs>(&bytes).unwrap(), balanced);
        assert_eq!(balanced.loader_args.sampling, Sampling::Balanced);
        let each = serde_json::to_value(LoaderArgs::default()).unwrap();
        assert!(each.get("sampling").is_none());
        for text in ["epochs = 4\nbatch_maxnum = 3", "num_updates = 7\ndry_run = true"] {
            let args = parse(text).unwrap();
            let bytes = rmp_serde::to_vec_named(&args).unwrap();
            assert_eq!(rmp_serde::from_slice::<TrainingArgs>(&bytes).unwrap(), args);
            let json = serde_json::to_value(&args).unwrap();
            for line in text.lines() {
                let (key, value) = line.split_once(" = ").unwrap();
                assert_eq!(json[key].to_string(), value);
            }
        }
    }

    #[test]
    fn optimizer_arguments_get_dotted_keys() {
        let args = parse("epochs = 1\noptimizer_args = { lr = 0.1, adam = { beta = [1, 2] } }");
        let args = args.unwrap().optimizer_args;
        assert_eq!(args["optimizer.lr"], Value::Real(0.1));
        assert_eq!(args["optimizer.adam.beta"], Value::Integers(vec![1, 2]));
    }

    #[test]
    fn metric_names_have_no_case() {
        let metric = |name: &str| parse(&format!("epochs = 1\ntest_metric = \"{name}\""));
        assert_eq!(metric("f1_score").unwrap().test_metric, Some(Metric::F1Score));
        assert_eq!(metric("ACCURACY").unwrap().test_metric, Some(Metric::Accuracy));
    }

    #[test]
    fn every_rule_is_an_error_of_its_own() {
        for (text, expected) in [
            ("", "neither `epochs` nor `num_updates`"),
            ("epochs = 1\ntest_ratio = 1.0", "`test_ratio` is 1.0, expected 0 <= test_ratio < 1"),
            ("epochs = 1\ntest_ratio = -1.0", "`test_ratio` is -1.0"),
            ("epochs = 1\ntest_ratio = nan", "`test_ratio` is nan"),
            ("epochs = -1", "`epochs` is -1"),
            ("epochs = \"one\"", "`epochs` is \"one\""),
            ("num_updates = 0.2", "`num_updates` is 0.2"),
            ("epochs = 1\nlog_interval = 0", "`log_interval` is 0"),
            ("epochs = 1\ndry_run = 1", "`dry_run` is 1, expected true or false"),
            ("epochs = 1\nfedprox_mu = -0.1", "`fedprox_mu` is -0.1"),
            ("epochs = 1\nrandom_seed = -3", "`random_seed` is -3"),
            ("epochs = 1\nloader_args = { batch_size = 0 }", "`loader_args.batch_size` is 0"),
            (
                "epochs = 1\nloader_args = { batch_size = 4194305 }",
                "`loader_args.batch_size` is 4194305, expected a whole number from 1 to 4194304",
            ),
            ("epochs = 1\ntest_batch_size = 4294967295", "`test_batch_size` is 4294967295"),
            ("epochs = 1\nloader_args = { bach_size = 1 }", "did you mean `batch_size`?"),
            (
                "epochs = 1\nloader_args = { sampling = 'equal' }",
                "`loader_args.sampling` is \"equal\"",
            ),
            (
                "epochs = 1\nloader_args = { sampling = 'balanced', shuffle = false }",
                "`loader_args.sampling` draws rows, but `shuffle` is false",
            ),
            ("epochs = 1\nsampling = 'balanced'", "it belongs in `loader_args`"),
            ("epochs = 1\ntest_on_local_updates = true", "`test_on_local_updates` is set"),
            ("epochs = 1\ntest_metric = \"RULE_OF_THUMB\"", "RULE_OF_THUMB"),
            ("epochs = 1\ndp_args = { clip = 1.0 }", "`dp_args.sigma` is missing"),
            ("epochs = 1\ndp_args = { type = \"x\", sigma = 1, clip = 1 }", "`dp_args.type` is"),
            ("epochs = 1\nshare_persistent_buffers = 1", "`share_persistent_buffers` is 1"),
            ("epochs = 1\ntest_metric_args = { a = 1 }", "take no arguments"),
            ("epochs = 1\noptimizer_args = 3", "`optimizer_args` is not a table"),
            ("epochs = 1\noptimizer_args = { a = [1, \"x\"] }", "`optimizer_args.a` is not"),
            (
                "epochs = 1\nbatch_size = 8",
                "`batch_size` is unknown here; it belongs in `loader_args`",
            ),
            ("epochs = 1\nlr = 0.1", "`lr` is unknown here; it belongs in `optimizer_args`"),
            ("epoch = 1", "`epoch` is unknown; did you mean `epochs`?"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let error = parse("epochs = -1\ntest_ratio = 2\nlr = 0.1\ndry_run = \"no\"").unwrap_err();
        assert_eq!(error.lines().count(), 4, "{error}");
    }

    #[test]
    fn what_is_sent_is_received() {
        let args = parse(
            "epochs = 2\noptimizer_args = { lr = 0.5 }\ntest_ratio = 0.25\nbatch_maxnum = 3\n\
             test_metric = \"ACCURACY\"\nrandom_seed = 9\nfedprox_mu = 0.5\ntest_batch_size = 8\n\
             dp_args = { type = \"local\", sigma = 1.0, clip = 2 }\nuse_gpu = true",
        )
        .unwrap();
        let bytes = rmp_serde::to_vec_named(&args).unwrap();
        assert_eq!(rmp_serde::from_slice::<TrainingArgs>(&bytes).unwrap(), args);
    }
}
