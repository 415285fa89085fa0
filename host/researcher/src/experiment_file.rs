//! `experiment.toml`, the file of an experiment.

use std::path::{Path, PathBuf};

use fedwasm_aggregate::AggregatorArgs;
use fedwasm_protocol::{
    Arguments, DESCRIPTION_CHARS_MAX, DataArgs, DpKind, Fields, FileMistakes, KEPT_STATES_MAX,
    LimitArgs, TrainingArgs,
};
use fedwasm_record::sections::{data, init, limits, model, read, table, training};
use fedwasm_record::{
    CentralArgs, Error, Keep, LocalArgs, LrSchedule, NEEDS_A_MEAN, in_round, lr_of,
};
use toml::Value;

use crate::StrategyArgs;
use crate::secagg::SecaggSettings;

/// A whole experiment (Fed-BioMed `Experiment`).
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentFile {
    /// Its name for people.
    pub name: String,
    /// Its purpose, which nodes show to the operator who decides on the plan. Default empty.
    pub description: String,
    /// The component.
    pub plan: PathBuf,
    /// Rounds, at least 1.
    pub rounds: u32,
    /// Whether a breakpoint is written after every round. Default false.
    pub save_breakpoints: bool,
    /// How many of them are kept, the newest, from 1 to 64. Default 2.
    pub keep_breakpoints: usize,
    /// Whether event files for TensorBoard are written. Default false.
    pub tensorboard: bool,
    /// Whether uploads of nodes are kept, so that others can recompute every round.
    /// Default false.
    pub keep_uploads: bool,
    /// Of how many rounds the parameters are kept, the newest; `usize::MAX` is all. Default none.
    pub keep_params: Option<usize>,
    /// The file of the parameters that the first round starts from; drawn by the plan if none.
    pub params: Option<PathBuf>,
    /// A model, or a file of parameters, that the first round starts from instead.
    pub init: Option<PathBuf>,
    /// Patterns of the names of the parameters that start from `init`, such as `net.0.*`; the plan
    /// draws the others. All if there are none.
    pub init_only: Vec<String>,
    /// Whether these are scored before the first round. Default false.
    pub score_initial: bool,
    /// Whether the result is the model of the last round, or that of the best score. Default: of
    /// the last.
    pub keep: Keep,
    /// Which columns, and how.
    pub data: DataArgs,
    /// How a round trains.
    pub training: TrainingArgs,
    /// How its learning rate changes from round to round.
    pub lr_schedule: Option<LrSchedule>,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
    /// How updates become one model.
    pub aggregator: AggregatorArgs,
    /// Which nodes take part.
    pub strategy: StrategyArgs,
    /// Secure aggregation, if it is asked for; `random` is drawn unless it is given.
    pub secagg: Option<SecaggSettings>,
    /// Noise that the aggregator adds, from `[privacy]` or from `training.dp_args` of type
    /// `central`. The latter then say what nodes do: clip, unless the clip is adaptive.
    pub privacy: Option<CentralArgs>,
    /// Whether nodes run the plan in the strict profile. Default false.
    pub strict: bool,
    /// Limits that nodes are asked to keep, below their own.
    pub limits: LimitArgs,
    /// Where the federation is.
    pub network: NetworkArgs,
}

/// Where the federation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkArgs {
    /// The broker.
    pub mqtt: String,
    /// The repository.
    pub repository: String,
    /// The directory of the researcher's key and membership. If none, and the
    /// federation is on this machine, one of this user's own, which is made.
    pub identity: Option<PathBuf>,
}

impl Default for NetworkArgs {
    fn default() -> Self {
        Self {
            mqtt: "mqtt://127.0.0.1:1883".into(),
            repository: "http://127.0.0.1:8844".into(),
            identity: None,
        }
    }
}

impl ExperimentFile {
    /// How a round trains, with the learning rate of that round.
    pub fn training_in(&self, round: u32) -> TrainingArgs {
        in_round(&self.training, self.lr_schedule.as_ref(), round)
    }

    /// Reads and checks an experiment. The paths of plan, parameters, `init` and identity are
    /// relative to the file.
    ///
    /// # Errors
    /// [`Error::Toml`] with all mistakes of the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = Self::parse(&read(path)?, path)?;
        let here = path.parent().unwrap_or(Path::new(""));
        let identity = file.network.identity.as_ref().map(|identity| here.join(identity));
        let network = NetworkArgs { identity, ..file.network };
        let params = file.params.as_ref().map(|params| here.join(params));
        let init = file.init.as_ref().map(|init| here.join(init));
        Ok(Self { plan: here.join(&file.plan), params, init, network, ..file })
    }

    /// Checks the text of an experiment; messages call it `path`.
    ///
    /// # Errors
    /// [`Error::Toml`] with all mistakes of the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut fields = Fields::new("", table(text, path)?);
        for key in ["name", "plan", "rounds", "data", "training"] {
            if !fields.has(key) {
                fields.mistake(key, "is missing");
            }
        }
        let (name, plan) = (fields.text("name"), fields.text("plan"));
        let description = description(&mut fields);
        let rounds = fields.whole_until("rounds", 1, u64::from(u32::MAX));
        let save_breakpoints = fields.boolean("save_breakpoints").unwrap_or(false);
        let kept = fields.whole_until("keep_breakpoints", 1, KEPT_STATES_MAX as u64).unwrap_or(2);
        let tensorboard = fields.boolean("tensorboard").unwrap_or(false);
        let keep_uploads = fields.boolean("keep_uploads").unwrap_or(false);
        let keep_params = keep_params(&mut fields);
        let (params, (init, init_only)) =
            (fields.text("params").map(PathBuf::from), init(&mut fields));
        let score_initial = fields.boolean("score_initial").unwrap_or(false);
        let keep = keep(&mut fields);
        let (strict, limits) = (fields.boolean("strict").unwrap_or(false), limits(&mut fields));
        let data = if fields.has("data") { data(&mut fields, true) } else { None };
        let (mut training, lr_schedule) = training(&mut fields, None);
        let privacy = privacy(&mut fields, training.as_mut());
        let model = model(&mut fields);
        let aggregator = section(&mut fields, "aggregator", AggregatorArgs::take);
        let strategy = section(&mut fields, "strategy", StrategyArgs::take);
        let secagg = SecaggSettings::take(&mut fields);
        let network = network(&mut fields);
        check_together(&mut fields, training.as_ref(), &aggregator, &strategy);
        check_privacy(&mut fields, privacy.as_ref(), &aggregator);
        check_secagg(&mut fields, secagg.is_some(), training.as_ref(), privacy.as_ref());
        check_schedule(&mut fields, training.as_ref(), lr_schedule.as_ref(), rounds);
        check_scores(&mut fields, training.as_ref(), score_initial, keep);
        check_scales(&mut fields, data.as_ref(), training.as_ref());
        let mistakes = fields.finish();
        if let ([], Some(name), Some(plan), Some(rounds), Some(data), Some(training)) =
            (&mistakes[..], name, plan, rounds, data, training)
        {
            return Ok(Self {
                name,
                description,
                plan: plan.into(),
                rounds: rounds as u32,
                save_breakpoints,
                keep_breakpoints: kept as usize,
                tensorboard,
                keep_uploads,
                keep_params,
                params,
                init,
                init_only,
                score_initial,
                keep,
                data,
                training,
                lr_schedule,
                model,
                aggregator,
                strategy,
                secagg,
                privacy,
                strict,
                limits,
                network,
            });
        }
        Err(FileMistakes::new(path, text.to_owned(), mistakes).into())
    }
}

/// Takes a table of the file.
fn section<T>(fields: &mut Fields, name: &'static str, take: impl FnOnce(&mut Fields) -> T) -> T {
    let mut table = fields.table(name);
    let taken = take(&mut table);
    fields.absorb(table);
    taken
}

/// `keep`; the mistakes of `[local]`, for a local job with this file, are told here, too.
fn keep(fields: &mut Fields) -> Keep {
    let keep = Keep::take(fields);
    LocalArgs::take(fields, keep);
    keep
}

/// At most as long as nodes keep it.
fn description(fields: &mut Fields) -> String {
    let description = fields.text("description").unwrap_or_default();
    let n_chars = description.chars().count();
    if n_chars > DESCRIPTION_CHARS_MAX {
        let what = format!("has {n_chars} characters, at most {DESCRIPTION_CHARS_MAX}");
        fields.mistake("description", what);
    }
    description
}

/// `true`, `false`, or how many.
fn keep_params(fields: &mut Fields) -> Option<usize> {
    match fields.value("keep_params")? {
        Value::Boolean(true) => Some(usize::MAX),
        Value::Boolean(false) => None,
        Value::Integer(n) if n >= 1 => Some(usize::try_from(n).unwrap_or(usize::MAX)),
        other => {
            let what = format!("is {other}, expected true, false, or how many rounds, at least 1");
            fields.mistake("keep_params", what);
            None
        }
    }
}

/// `[privacy]`, or Fed-BioMed's words for it; `dp_args` becomes what nodes do of it.
fn privacy(fields: &mut Fields, training: Option<&mut TrainingArgs>) -> Option<CentralArgs> {
    let is_table = fields.has("privacy");
    let args = CentralArgs::take(fields);
    let training = training?;
    let args = match training.dp_args {
        None => args,
        Some(_) if is_table => {
            let what = "is given beside [privacy]; leave one of them out";
            fields.mistake("training.dp_args", what);
            return None;
        }
        Some(dp) if dp.kind == DpKind::Local => return None,
        Some(dp) => match CentralArgs::of_dp_args(dp) {
            Ok(args) => Some(args),
            Err((key, what)) => {
                fields.mistake(&format!("training.dp_args.{key}"), what);
                return None;
            }
        },
    };
    training.dp_args = args.as_ref().and_then(CentralArgs::at_nodes);
    args
}

/// Noise needs a method of means, and an adaptive clip single updates.
fn check_privacy(fields: &mut Fields, privacy: Option<&CentralArgs>, aggregator: &AggregatorArgs) {
    if privacy.is_some() && CentralArgs::check(&*aggregator.build()).is_err() {
        let what = format!("is `{}`: {NEEDS_A_MEAN}", aggregator.name());
        fields.mistake("aggregator.name", what);
    }
}

/// Rules of secure aggregation, which tells sums alone.
fn check_secagg(
    fields: &mut Fields,
    is_secagg: bool,
    training: Option<&TrainingArgs>,
    privacy: Option<&CentralArgs>,
) {
    if is_secagg && privacy.is_some_and(|privacy| privacy.adaptive.is_some()) {
        let what = "needs the norm of every update, and secure aggregation tells only their sum";
        fields.mistake("privacy.adaptive", what);
    }
    if is_secagg && training.is_some_and(|training| training.compression.is_some()) {
        let what = "is given beside [secagg], whose sums are whole numbers of their own; leave one of \
             them out";
        fields.mistake("training.compression", what);
    }
}

fn network(fields: &mut Fields) -> NetworkArgs {
    let mut table = fields.table("network");
    let default = NetworkArgs::default();
    let network = NetworkArgs {
        mqtt: table.text("mqtt").unwrap_or(default.mqtt),
        repository: table.text("repository").unwrap_or(default.repository),
        identity: table.text("identity").map(PathBuf::from),
    };
    fields.absorb(table);
    network
}

/// Rules that two tables share.
fn check_together(
    fields: &mut Fields,
    training: Option<&TrainingArgs>,
    aggregator: &AggregatorArgs,
    strategy: &StrategyArgs,
) {
    let Some(training) = training else { return };
    if let (Some(here), AggregatorArgs::FedProx { mu }) = (training.fedprox_mu, aggregator)
        && here != *mu
    {
        let what = format!("is {here}, but `aggregator.mu` is {mu}; leave one of them out");
        fields.mistake("training.fedprox_mu", what);
    }
    if strategy.early_stopping.is_some() && !training.test_on_global_updates {
        let what = "needs `training.test_on_global_updates = true`, or there is nothing to look at";
        fields.mistake("strategy.early_stopping", what);
    }
}

fn check_scores(
    fields: &mut Fields,
    training: Option<&TrainingArgs>,
    score_initial: bool,
    keep: Keep,
) {
    if keep == Keep::Best && training.is_some_and(|training| !training.test_on_global_updates) {
        let what = "is \"best\", which needs `training.test_on_global_updates = true`, or there are no \
             scores";
        fields.mistake("keep", what);
    }
    if score_initial && training.is_some_and(|training| training.test_ratio == 0.0) {
        let what =
            "is set but `training.test_ratio` is 0; hold rows out, such as `test_ratio = 0.2`";
        fields.mistake("score_initial", what);
    }
}

/// Scales of the federation are made once, of sums without noise.
fn check_scales(fields: &mut Fields, data: Option<&DataArgs>, training: Option<&TrainingArgs>) {
    let Some(training) = training.filter(|_| data.is_some_and(DataArgs::is_scaled_by_all)) else {
        return;
    };
    let has_noise = training.dp_args.is_some_and(|dp| dp.kind == DpKind::Local);
    let why = if has_noise {
        "`training.dp_args` asks nodes for noise, and sums for scales have none"
    } else if training.shuffle_testing_dataset {
        "scales are made once, and `training.shuffle_testing_dataset` holds out other rows in every \
         round"
    } else {
        return;
    };
    let what = format!("is `federation`, but {why}: set it to `site` or `none`");
    fields.mistake("data.standardize", what);
}

fn check_schedule(
    fields: &mut Fields,
    training: Option<&TrainingArgs>,
    schedule: Option<&LrSchedule>,
    rounds: Option<u64>,
) {
    let (Some(training), Some(schedule)) = (training, schedule) else { return };
    if lr_of(training).is_none() {
        let what = "changes `training.optimizer_args.lr`, which is not given";
        fields.mistake("training.lr_schedule", what);
    }
    let rounds = rounds.and_then(|rounds| u32::try_from(rounds).ok());
    if let Some(what) = rounds.and_then(|rounds| schedule.check(rounds)) {
        fields.mistake("training.lr_schedule", what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "t"
        plan = "p.wasm"
        rounds = 2
        [data]
        tags = ["a"]
        target = "y"
        [training]
        epochs = 1
        [model]
        n_features = 3
        [aggregator]
        name = "fedavg"
        [strategy]
        name = "all"
        min_nodes = 2
        [network]
        mqtt = "mqtt://127.0.0.1:1"
        repository = "http://127.0.0.1:2"
    "#;

    fn parse(text: &str) -> Result<ExperimentFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        ExperimentFile::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_file_is_read() {
        let file = parse(FILE).unwrap();
        assert_eq!(file.model.len(), 1);
        assert!(file.plan.ends_with("p.wasm") && file.plan.is_absolute());
        assert_eq!(file.training.test_ratio, 0.0);
    }

    #[test]
    fn compression_is_of_a_known_kind_and_not_of_masked_sums() {
        let secagg = "epochs = 1\ncompression = \"int8\"\n[secagg]\nservkey_id = \"a\"\n\
             biprime_id = \"b\"";
        for (to, expected) in [
            (secagg, "`training.compression` is given beside [secagg]"),
            ("epochs = 1\ncompression = \"zip\"", "`training.compression` is"),
        ] {
            let error = parse(&FILE.replace("epochs = 1", to)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            ("rounds = 2", "rounds = 0", "`rounds` is 0"),
            ("min_nodes = 2", "min_nodes = 0", "`strategy.min_nodes` is 0"),
            ("min_nodes = 2", "max_nodes = 2", "`strategy.max_nodes` is unknown"),
            ("tags = [\"a\"]", "", "`data.tags` is missing"),
            ("tags = [\"a\"]", "tags = []", "`data.tags` is empty"),
            ("\"fedavg\"", "\"fedagv\"", "did you mean `fedavg`?"),
            ("target = \"y\"", "", "`data.target` is missing"),
            ("epochs = 1", "epochs = \"one\"", "`training.epochs` is \"one\""),
            ("epochs = 1", "epoch = 1", "did you mean `epochs`?"),
            ("epochs = 1", "epochs = 1\nfedprox_mu = -1", "`training.fedprox_mu` is -1"),
            ("n_features = 3", "n_features = [1, \"x\"]", "`model.n_features` is not"),
            ("min_nodes = 2", "early_stopping = { metric = \"loss\" }", "test_on_global_updates"),
            ("rounds = 2", "rounds = 2\nkeep = \"best\"", "`keep` is \"best\", which needs"),
            ("rounds = 2", "rounds = 2\nkeep = \"bset\"", "did you mean `best`?"),
            (
                "rounds = 2",
                "rounds = 2\nlocal = { validate_evry = 1 }",
                "did you mean `validate_every`?",
            ),
            ("[network]", "[secagg]\nservkey_id = \"a\"\n[network]", "`secagg.biprime_id` is"),
            ("[network]", "[netwrok]", "did you mean `network`?"),
            (
                "[network]",
                "[privacy]\nclip = 1\n[network]",
                "`privacy.noise_multiplier` is missing",
            ),
            (
                "\"fedavg\"",
                "\"scaffold\"\n[privacy]\nclip = 1\nnoise_multiplier = 1",
                "`aggregator.name` is `scaffold`: noise of the aggregator is added to the mean",
            ),
            (
                "[network]",
                "[privacy]\nclip = 1\nnoise_multiplier = 1\nadaptive = {}\n[secagg]\n\
                 servkey_id = \"a\"\nbiprime_id = \"b\"\n[network]",
                "`privacy.adaptive` needs the norm of every update",
            ),
            (
                "epochs = 1",
                "epochs = 1\ndp_args = { sigma = 0, clip = 1 }",
                "`training.dp_args.sigma` is 0",
            ),
            (
                "epochs = 1",
                "epochs = 1\ndp_args = { type = \"local\", sigma = 1, clip = 1 }\n\
                 [privacy]\nclip = 1\nnoise_multiplier = 1",
                "`training.dp_args` is given beside [privacy]",
            ),
            ("rounds = 2", "rounds = ", "e.toml: line 4: string values must be quoted"),
            ("rounds = 2", "rounds = 2\nkeep_params = 0", "expected true, false, or how many"),
            ("rounds = 2", "rounds = 2\nscore_initial = true", "hold rows out"),
            ("epochs = 1", "epochs = 1\nlr_schedule = 3", "`training.lr_schedule` is not a table"),
            (
                "epochs = 1",
                "epochs = 1\nlr_schedule = { name = \"exponential\", gamma = 0.5 }",
                "`training.lr_schedule` changes `training.optimizer_args.lr`, which is not given",
            ),
            (
                "epochs = 1",
                "epochs = 1\noptimizer_args.lr = 1\nlr_schedule = { name = \"cosine\", rounds = 1 }",
                "`training.lr_schedule` gives the rate 0 in round 2",
            ),
        ] {
            let error = parse(&FILE.replace(from, to)).unwrap_err();
            assert!(error.contains(expected) && error.contains("e.toml"), "{error}");
        }
    }

    #[test]
    fn parameters_to_start_from_and_to_keep_are_read() {
        let file = parse(FILE).unwrap();
        assert_eq!((file.params, file.keep_params, file.score_initial), (None, None, false));
        let text = FILE.replace("rounds = 2", "rounds = 2\nparams = \"a/b.mpk\"\nkeep_params = 3");
        let file = parse(&text).unwrap();
        assert!(file.params.is_some_and(|path| path.is_absolute() && path.ends_with("a/b.mpk")));
        assert_eq!(file.keep_params, Some(3));
        let all = parse(&text.replace("keep_params = 3", "keep_params = true")).unwrap();
        assert_eq!(all.keep_params, Some(usize::MAX));
    }

    #[test]
    fn noise_of_the_aggregator_leaves_nodes_the_clip() {
        let (old, table) = (
            "epochs = 1\ndp_args = { sigma = 2, clip = 0.5 }",
            "epochs = 1\n[privacy]\nnoise_multiplier = 2\nclip = 0.5",
        );
        let [old, new] = [old, table].map(|text| parse(&FILE.replace("epochs = 1", text)).unwrap());
        assert_eq!((&old.privacy, &old.training), (&new.privacy, &new.training));
        let at_nodes = new.training.dp_args.unwrap();
        assert_eq!((at_nodes.kind, at_nodes.sigma, at_nodes.clip), (DpKind::Central, 0.0, 0.5));
        let adaptive = FILE.replace("epochs = 1", &(table.to_owned() + "\nadaptive = {}"));
        let adaptive = parse(&adaptive).unwrap();
        assert_eq!(adaptive.training.dp_args, None);
        assert!(adaptive.privacy.is_some_and(|privacy| privacy.adaptive.is_some()));
        let local = "epochs = 1\ndp_args = { type = \"local\", sigma = 2, clip = 0.5 }";
        let local = parse(&FILE.replace("epochs = 1", local)).unwrap();
        assert!(local.privacy.is_none() && local.training.dp_args.is_some());
    }

    #[test]
    fn all_mistakes_of_a_file_come_at_once() {
        let text = FILE.replace("rounds = 2", "rounds = 0").replace("epochs = 1", "epochs = -1");
        let text = text.replace("min_nodes", "min_node").replace("\"fedavg\"", "\"krum\"");
        let error = parse(&text).unwrap_err();
        assert!(error.contains("4 mistakes"), "{error}");
        // Each with its line; missing keys have none.
        let text = FILE.replace("epochs = 1", "epochs = -1\nloader_args = { batch_sizes = 3 }");
        let error = parse(&text.replace("rounds = 2\n", "")).unwrap_err();
        let unknown = "\n  line 9: `training.loader_args.batch_sizes` is unknown";
        assert!(error.contains("\n  line 8: `training.epochs` is -1"), "{error}");
        assert!(error.contains(unknown) && error.contains("\n  `rounds` is missing"), "{error}");
    }

    #[test]
    fn two_different_mu_are_a_mistake() {
        let prox = FILE.replace("\"fedavg\"", "\"fedprox\"\nmu = 0.5");
        assert_eq!(parse(&prox).unwrap().aggregator, AggregatorArgs::FedProx { mu: 0.5 });
        let error = parse(&prox.replace("epochs = 1", "epochs = 1\nfedprox_mu = 0.1")).unwrap_err();
        assert!(error.contains("`aggregator.mu` is 0.5"), "{error}");
    }
}
