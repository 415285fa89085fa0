//! `fedwasm demo`: a whole federation on this machine, in processes of its own, compared with each site
//! alone, with all data in one place, and with itself under secure aggregation.

mod private;
mod process;

use std::path::PathBuf;

use fedwasm_artifact::Component;
use fedwasm_dataset::{Format, Renames, Volumes};
use fedwasm_local::{EvaluateOptions, LocalJob, LocalOptions, evaluate, load_preprocessing};
use fedwasm_node::{Database, Datasets, NewDataset, NodeConfig, Policy};
use fedwasm_params::Params;
use fedwasm_protocol::{Budget, DataArgs, Evaluation};
use fedwasm_record::LocalArgs;
use fedwasm_researcher::{ExperimentFile, ExperimentOptions, ExperimentResult};
use fedwasm_sandbox::{Cancel, LimitArgs};
use fedwasm_training::Preprocessing;
use fedwasm_trust::{KeyPair, Trust};
use serde_json::json;
use tokio::sync::watch;

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED, USAGE};
use crate::commands::plan::sign;
use crate::commands::{blocking, experiment, sandbox};
use crate::printer::Printer;
use crate::stop::{stop_signal, stopped};

use self::private::{Price, SCHEME, SITES_MIN, Seen};
use self::process::Process;

const PLAN: &[u8] = include_bytes!("../../../../../plugins/dist/logistic-regression.wasm");
const DATA: &[u8] = include_bytes!("../../../../../examples/data/breast_cancer.csv");
const TARGET: &str = "benign";
const SEED: u64 = 42;
/// The second experiment, and its directory.
const PRIVATE: &str = "private";
/// Rows of the table.
const FEDERATION: &str = "federation";
const UNDER_MASKS: &str = "under masks";

/// Run a whole federation on this machine and compare it with each site alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory for all files [default: a fresh temporary directory].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Sites.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    nodes: u32,
    /// Federated rounds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Run it once more under secure aggregation: the numbers that the researcher then gets of each
    /// site, and the price in time and accuracy. Needs 3 sites.
    #[arg(long)]
    private: bool,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    if args.private && args.nodes < SITES_MIN {
        let text = format!(
            "`--private` needs {SITES_MIN} sites or more: of two, each would have the other's part"
        );
        return Err(CommandError::new(USAGE, text));
    }
    let stop = stop_signal(false)?;
    let dir = match args.dir {
        Some(dir) => dir,
        None => {
            let id = fedwasm_protocol::RequestId::random();
            let id = id.map_err(|error| CommandError::new(FAILED, error))?;
            std::env::temp_dir().join(format!("fedwasm-demo-{id}"))
        }
    };
    fedwasm_folder::Folder::create(&dir)?.check_writable()?;
    let (n_sites, rounds, is_private) = (args.nodes as usize, args.rounds, args.private);
    let demo = Demo { dir, n_sites, rounds, is_private, printer: *printer };
    // Dropping the demo kills its processes at any stage.
    tokio::select! {
        result = demo.run(stop.clone()) => result,
        () = stopped(stop.clone()) => Err(CommandError::new(FAILED, "interrupted")),
    }
}

struct Demo {
    dir: PathBuf,
    n_sites: usize,
    rounds: u32,
    /// Whether it runs once more under masks.
    is_private: bool,
    printer: Printer,
}

/// The plan, with its signature.
struct Signed {
    component: Component,
    signature: Vec<u8>,
}

/// A model of the table.
struct Model {
    label: String,
    n_train: u64,
    params: Params,
}

impl Demo {
    async fn run(&self, stop: watch::Receiver<bool>) -> Result<(), CommandError> {
        let admitted = Component::admit(PLAN.to_vec());
        let component = admitted.map_err(|error| CommandError::new(FAILED, error))?;
        fedwasm_folder::write_file(&self.dir.join("logistic-regression.wasm"), component.bytes())?;
        self.deal_rows()?;
        // The sites run what this key signed.
        let signer = KeyPair::create(&self.dir.join("signer.pem"))?;
        let signature = sign(&component, &signer)?.to_json();
        let beside = self.dir.join("logistic-regression.wasm.sigstore.json");
        fedwasm_folder::write_file(&beside, &signature)?;
        let signers = vec![("demo".to_owned(), signer.public().clone())];
        let trust = Trust { signers, threshold: 1, revoked: Vec::new() };

        let mut network = Process::start(
            &["network", "start", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"],
            &["--dir".as_ref(), self.dir.join("network").as_os_str()],
            &self.dir.join("network.log"),
        )?;
        let ready = network.ready().await?;
        let address = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let (mqtt, repository) = (address("mqtt"), address("repository"));
        let mut nodes = Vec::new();
        for site in 1..=self.n_sites {
            nodes.push(self.start_node(site, (&mqtt, &repository), &trust)?);
        }
        for node in &mut nodes {
            node.ready().await?;
        }
        let file = self.experiment("demo", (&mqtt, &repository))?;
        let mut models = self.local_baselines(&file, &component).await?;

        let plan = Signed { component, signature };
        let seconds = std::time::Instant::now();
        let clear = self.train(&plan, &file, self.dir.clone(), stop.clone()).await?;
        let seconds = seconds.elapsed().as_secs_f64();
        let masked = match self.is_private {
            true => {
                let text = format!("\nonce more under masks (`scheme = \"{SCHEME}\"`)");
                self.printer.line(text);
                self.printer.event("private", &json!({ "scheme": SCHEME }));
                let file = self.experiment(PRIVATE, (&mqtt, &repository))?;
                Some(self.train(&plan, &file, self.dir.join(PRIVATE), stop).await?)
            }
            false => None,
        };
        for process in nodes.into_iter().chain([network]) {
            process.leave().await;
        }

        let at = self.n_sites;
        let n_train = models.iter().take(at).map(|model| model.n_train).sum();
        let both = [(FEDERATION, Some(&clear)), (UNDER_MASKS, masked.as_ref())];
        for (nth, (label, result)) in both.into_iter().enumerate() {
            let Some(result) = result else { continue };
            let (label, params) = (label.to_owned(), result.params.clone());
            models.insert(at + nth, Model { label, n_train, params });
        }
        let mut rows = Vec::new();
        for model in models {
            let evaluation = self.score(&file, &plan.component, &model.params).await?;
            rows.push((model.label, model.n_train, evaluation));
        }
        self.print(&plan.component, (&clear, masked.as_ref()), &rows, seconds)
    }

    /// Runs the experiment of a file.
    async fn train(
        &self,
        plan: &Signed,
        file: &ExperimentFile,
        out: PathBuf,
        stop: watch::Receiver<bool>,
    ) -> Result<ExperimentResult, CommandError> {
        let options = ExperimentOptions {
            file: file.clone(),
            component: plan.component.clone(),
            signatures: vec![plan.signature.clone()],
            sandbox: sandbox(false, &self.printer)?,
            random_seed: SEED,
            out: Some(out),
            resume: false,
            change: false,
            force: true,
            params: None,
        };
        experiment::run_and_show(options, &self.printer, stop).await
    }

    fn site_dir(&self, site: usize) -> PathBuf {
        self.dir.join(format!("site-{site}"))
    }

    /// Row i goes to site i mod n; every fifth row of each site is held out.
    fn deal_rows(&self) -> Result<(), CommandError> {
        let failed = |error: csv::Error| CommandError::new(FAILED, error);
        let mut reader = csv::Reader::from_reader(DATA);
        let header = reader.byte_headers().map_err(failed)?.clone();
        let table = || {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_byte_record(&header).map(|()| writer)
        };
        let mut tables = Vec::new();
        for _ in 0..self.n_sites {
            tables.push((table().map_err(failed)?, table().map_err(failed)?));
        }
        let mut pooled = table().map_err(failed)?;
        for (row, record) in reader.into_byte_records().enumerate() {
            let record = record.map_err(failed)?;
            let (train, held_out) = &mut tables[row % self.n_sites];
            if (row / self.n_sites) % 5 == 4 {
                held_out.write_byte_record(&record).map_err(failed)?;
            } else {
                train.write_byte_record(&record).map_err(failed)?;
                pooled.write_byte_record(&record).map_err(failed)?;
            }
        }
        let write = |path: PathBuf, writer: csv::Writer<Vec<u8>>| -> Result<(), CommandError> {
            let bytes = writer.into_inner().map_err(|error| CommandError::new(FAILED, error))?;
            Ok(fedwasm_folder::write_file(&path, &bytes)?)
        };
        for (index, (train, held_out)) in tables.into_iter().enumerate() {
            write(self.site_dir(index + 1).join("train.csv"), train)?;
            write(self.site_dir(index + 1).join("held_out.csv"), held_out)?;
        }
        write(self.dir.join("pooled").join("train.csv"), pooled)
    }

    fn start_node(
        &self,
        site: usize,
        (mqtt, repository): (&str, &str),
        trust: &Trust,
    ) -> Result<Process, CommandError> {
        let dir = self.site_dir(site);
        let id = format!("site-{site}");
        let parsed = id.parse().map_err(|error| CommandError::new(FAILED, error))?;
        let (mqtt, repository) = (mqtt.to_owned(), repository.to_owned());
        let mut config = NodeConfig::new(parsed, mqtt, repository);
        config.approval.policy = Policy::Signer;
        let node = dir.join("node");
        let identity = config.create(&node)?;
        fedwasm_folder::write_file(&node.join("trust.toml"), trust.to_toml().as_bytes())?;
        let (_, folder) = NodeConfig::open(&node)?;
        let name = "breast-cancer".parse().map_err(|error| CommandError::new(FAILED, error))?;
        let tags = vec!["breast-cancer".to_owned()];
        let database = Database::open(&node, &identity)?;
        let data = dir.join("train.csv");
        let (volumes, renames) = (Volumes::default(), Renames::new());
        let new = NewDataset { name, path: &data, format: None, tags, volumes, renames };
        Datasets::load(&folder)?.add(&folder, &database, new)?;
        let log = self.dir.join(format!("{id}.log"));
        Process::start(&["node", "start"], &[node.as_os_str()], &log)
    }

    /// Writes an experiment's file and reads it as `experiment run` would.
    fn experiment(
        &self,
        name: &str,
        (mqtt, repository): (&str, &str),
    ) -> Result<ExperimentFile, CommandError> {
        let secagg = match name {
            PRIVATE => format!("[secagg]\nscheme = \"{SCHEME}\"\n\n"),
            _ => String::new(),
        };
        let text = format!(
            r#"name = "{name}"
plan = "logistic-regression.wasm"
rounds = {rounds}
keep_uploads = {keep_uploads}

[data]
tags = ["breast-cancer"]
target = "{TARGET}"
standardize = "federation"

[training]
epochs = 1
loader_args = {{ batch_size = 32 }}
optimizer_args = {{ lr = 0.1 }}
test_ratio = 0.2
test_on_global_updates = true
test_metric = "ACCURACY"
random_seed = {SEED}

[model]
n_features = 30
n_classes = 2

[aggregator]
name = "fedavg"

[strategy]
name = "all"
min_nodes = {min_nodes}
round_deadline_s = 60

{secagg}[network]
mqtt = "{mqtt}"
repository = "{repository}"
identity = "researcher"
"#,
            rounds = self.rounds,
            min_nodes = self.n_sites.min(2),
            // In both runs, so that both write as much.
            keep_uploads = self.is_private,
        );
        let path = self.dir.join(if name == PRIVATE { "private.toml" } else { "experiment.toml" });
        fedwasm_folder::write_file(&path, text.as_bytes())?;
        Ok(ExperimentFile::read(&path)?)
    }

    /// Trains each site alone, and all rows in one place: as many epochs as
    /// the federation has rounds.
    async fn local_baselines(
        &self,
        file: &ExperimentFile,
        component: &Component,
    ) -> Result<Vec<Model>, CommandError> {
        let mut dirs: Vec<(String, PathBuf)> =
            (1..=self.n_sites).map(|n| (format!("site-{n} alone"), self.site_dir(n))).collect();
        dirs.push(("pooled".into(), self.dir.join("pooled")));
        let mut models = Vec::new();
        for (label, dir) in dirs {
            let mut training = file.training.clone();
            training.budget = Budget::Epochs { epochs: u64::from(self.rounds), batch_maxnum: None };
            let options = LocalOptions {
                component: component.clone(),
                sandbox: sandbox(false, &self.printer)?,
                limits: LimitArgs::default(),
                path: dir.join("train.csv"),
                format: Some(Format::Csv),
                volumes: Volumes::default(),
                renames: Renames::new(),
                data: file.data.clone(),
                training,
                model: file.model.clone(),
                params: None,
                init_only: Vec::new(),
                out: Some(dir.join("local")),
                random_seed: SEED,
                local: LocalArgs { validate_every: Some(0), ..LocalArgs::default() },
                fold: None,
                resume: false,
                force: true,
                stop: Cancel::new(),
            };
            let job = move || LocalJob::new(options)?.start_training(drop, &Cancel::new());
            let result = blocking(job).await??;
            let node = result.history.rounds.first().and_then(|round| round.nodes.values().next());
            let n_train = node.map_or(0, |node| node.n_samples);
            models.push(Model { label, n_train, params: result.params });
        }
        Ok(models)
    }

    /// Scores a model on the held-out rows of all sites, the rows of each
    /// scaled with the site's own statistics.
    async fn score(
        &self,
        file: &ExperimentFile,
        component: &Component,
        params: &Params,
    ) -> Result<Evaluation, CommandError> {
        let mut parts: Vec<(PathBuf, Option<Preprocessing>)> = Vec::new();
        for site in 1..=self.n_sites {
            let dir = self.site_dir(site);
            let scales = load_preprocessing(&dir.join("local").join("preprocessing.json"))?;
            parts.push((dir.join("held_out.csv"), Some(scales)));
        }
        let options = EvaluateOptions {
            component: component.clone(),
            sandbox: sandbox(false, &self.printer)?,
            limits: LimitArgs::default(),
            params: params.clone(),
            data: DataArgs { tags: Vec::new(), ..file.data.clone() },
            model: file.model.clone(),
            format: Some(Format::Csv),
            volumes: Volumes::default(),
            renames: Renames::new(),
            parts,
        };
        Ok(blocking(move || evaluate(&options, &Cancel::new())).await??)
    }

    fn print(
        &self,
        component: &Component,
        (result, masked): (&ExperimentResult, Option<&ExperimentResult>),
        rows: &[(String, u64, Evaluation)],
        seconds: f64,
    ) -> Result<(), CommandError> {
        let printer = &self.printer;
        let metric = |evaluation: &Evaluation, name: &str| evaluation.metrics.get(name).copied();
        let n_held_out = rows.first().map_or(0, |(_, _, evaluation)| evaluation.n_rows);
        printer.line("");
        let headings = ["model", "trained on", "accuracy", "loss"].map(str::to_owned);
        let (mut lines, mut table) = (vec![headings.to_vec()], Vec::new());
        for (label, n_train, evaluation) in rows {
            let (accuracy, loss) = (metric(evaluation, "accuracy"), metric(evaluation, "loss"));
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
            let (a, l) = (shown(accuracy), shown(loss));
            lines.push(vec![label.clone(), n_train.to_string(), a, l]);
            let row =
                json!({ "model": label, "n_train": n_train, "accuracy": accuracy, "loss": loss });
            table.push(row);
        }
        Columns::new(1).left(14).right(10).right(10).right(8).print(&lines, printer);
        printer.line(format!(
            "\nscored on the same {n_held_out} held-out rows; {} rounds at {} sites in {seconds:.2} s",
            result.history.rounds.len(),
            result.nodes.len(),
        ));
        let scores_of = |label| rows.iter().find(|row| row.0 == label).map(|(_, _, scores)| scores);
        let (federation, scores) = (scores_of(FEDERATION), scores_of(UNDER_MASKS));
        let mut private = None;
        if let (Some(masked), Some(clear_scores), Some(scores)) = (masked, federation, scores) {
            let out = self.dir.join(PRIVATE);
            let seen = Seen::read((result, &self.dir), (masked, &out))?;
            let price = Price::new((result, clear_scores), (masked, scores));
            seen.print(printer);
            price.print(printer);
            let fields =
                json!({ "scheme": SCHEME, "seen": seen.fields(), "price": price.fields() });
            private = Some(fields);
        }
        printer.line(format!("files in {}", self.dir.display()));
        let mut fields = experiment::result_fields(result);
        fields["plan_sha256"] = json!(component.digest());
        fields["metrics"] = json!(federation.map(|evaluation| &evaluation.metrics));
        fields["table"] = json!(table);
        if let Some(private) = private {
            fields["private"] = private;
        }
        fields["dir"] = json!(self.dir);
        printer.event("result", &fields);
        Ok(())
    }
}
