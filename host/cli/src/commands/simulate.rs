//! `fedwasm simulate`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedwasm_dataset::Format;
use fedwasm_local::{LocalJob, LocalOptions, LocalResult};
use fedwasm_protocol::{Budget, Evaluation};
use fedwasm_record::LocalArgs;
use fedwasm_researcher::{Event, ExperimentFile};
use fedwasm_sandbox::{Cancel, InProcessOptions, Profile, Sandbox};
use fedwasm_simulation::{
    Conditions, Error, RoundTime, Simulated, Simulation, SimulationOptions, Slow, Split,
};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::commands::experiment::view::View;
use crate::commands::experiment::{options, result_fields, show_end};
use crate::commands::rename::Rename;
use crate::commands::{blocking, read_volumes};
use crate::printer::Printer;
use crate::progress::Bars;
use crate::stop::stop_signal;

/// The most lines about single nodes: of thousands, some are enough to see why.
const NODE_LINES_MAX: usize = 10;

/// Simulate an experiment: thousands of nodes in this process, with the rows of one file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment's file; [network] does not matter.
    file: PathBuf,
    /// The rows of all nodes: any file or folder that `fedwasm local` reads.
    #[arg(long)]
    data: PathBuf,
    /// The format of the data [default: found by the content].
    #[arg(long = "type")]
    format: Option<Format>,
    /// A TOML file with how volumes are read.
    #[arg(long)]
    volumes: Option<PathBuf>,
    #[command(flatten)]
    rename: Rename,
    /// Nodes, from 1 to 100,000 [default: as many as --split says].
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Which rows each node has: iid, dirichlet=ALPHA, by=COLUMN, shards=PER_NODE or
    /// sizes=ROWS,ROWS,...
    #[arg(long, value_name = "RULE", default_value = "iid")]
    split: Split,
    /// The seed of all randomness [default: that of the file, or a random one].
    #[arg(long)]
    seed: Option<u64>,
    /// The probability that a node does not answer when it is asked to train.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.0)]
    drop_out: f64,
    /// How long a node takes for a round, in seconds of the simulation: SECONDS,
    /// exponential=MEAN or lognormal=MEDIAN,SIGMA. Those beyond `round_deadline_s` are late.
    #[arg(long, value_name = "TIME")]
    round_time: Option<RoundTime>,
    /// Nodes that take longer in every round: SHARE,FACTOR, such as 0.1,5.
    #[arg(long, value_name = "SHARE,FACTOR", requires = "round_time")]
    slow: Option<Slow>,
    /// The fewest rows that a node tells about, as `min_rows` of a node's [privacy]; 10 there unless
    /// the operator says otherwise.
    #[arg(long, value_name = "ROWS", default_value_t = 1)]
    min_rows: u64,
    /// Nodes that work at once [default: the processors of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Run plans in this process: one wall around them instead of two, and less time for each node.
    #[arg(long)]
    in_process: bool,
    /// Also train on all rows in one place, as many epochs in all as the experiment has, and show the
    /// scores of both.
    #[arg(long)]
    local: bool,
    /// The directory for the files of the experiment, partition.json, partition.svg and
    /// simulation.json.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Overwrite the run in --out.
    #[arg(long, requires = "out")]
    force: bool,
}

impl Args {
    /// The experiment's file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        Some(self.file.clone())
    }
}

pub(crate) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    if !(0.0..=1.0).contains(&args.drop_out) {
        let text = format!("--drop-out {} is not a probability from 0 to 1", args.drop_out);
        return Err(CommandError::new(USAGE, text));
    }
    let file = ExperimentFile::read(&args.file)?;
    let of_file = options(file, printer)?;
    let sandbox = match args.in_process {
        true => in_process(of_file.file.strict)?,
        false => of_file.sandbox,
    };
    let strategy = of_file.file.strategy.clone();
    let simulation = SimulationOptions {
        random_seed: args.seed.unwrap_or(of_file.random_seed),
        file: of_file.file,
        component: of_file.component,
        sandbox,
        data: args.data.clone(),
        format: args.format,
        volumes: read_volumes(args.volumes.as_deref())?,
        renames: args.rename.read()?,
        n_nodes: args.nodes,
        split: args.split.clone(),
        conditions: Conditions {
            drop_out: args.drop_out,
            round_time: args.round_time,
            slow: args.slow,
        },
        min_rows: args.min_rows,
        threads: usize::from(args.threads.unwrap_or(0)),
        out: args.out.clone(),
        force: args.force,
    };
    let stop = stop_signal(false)?;
    let local = args.local.then(|| local(&simulation));
    let view = Show::new(&simulation, printer);
    let ready = {
        let simulation = simulation.clone();
        blocking(move || Simulation::new(simulation)).await??
    };
    show_partition(&ready, &args, printer);
    let mut show = view;
    let mut events = move |event: Event| show.see(event);
    let simulated = ready.run(stop, &mut events).await.map_err(|error| match error {
        Error::Researcher(error) => CommandError::of_experiment(*error, &strategy),
        error => error.into(),
    })?;
    let compared = match local {
        Some(local) => {
            let job = move || LocalJob::new(local)?.start_training(drop, &Cancel::new());
            Some(blocking(job).await??)
        }
        None => None,
    };
    print(&simulation, &simulated, compared.as_ref(), printer);
    Ok(())
}

fn in_process(strict: bool) -> Result<Sandbox, CommandError> {
    let profile = if strict { Profile::Strict } else { Profile::Standard };
    let sandbox = Sandbox::in_process_with(InProcessOptions::default())?;
    Ok(sandbox.with_profile(profile))
}

/// The local job on all rows, with the same plan, arguments and seed.
fn local(of: &SimulationOptions) -> LocalOptions {
    let mut training = of.file.training.clone();
    let rounds = u64::from(of.file.rounds);
    training.budget = match training.budget {
        Budget::Epochs { epochs, batch_maxnum } => {
            Budget::Epochs { epochs: epochs.saturating_mul(rounds), batch_maxnum }
        }
        Budget::Updates { num_updates } => {
            Budget::Updates { num_updates: num_updates.saturating_mul(rounds) }
        }
    };
    training.random_seed = Some(of.random_seed);
    LocalOptions {
        component: of.component.clone(),
        sandbox: of.sandbox.clone(),
        limits: of.file.limits.clone(),
        path: of.data.clone(),
        format: of.format,
        volumes: of.volumes.clone(),
        renames: of.renames.clone(),
        data: of.file.data.clone(),
        training,
        model: of.file.model.clone(),
        params: None,
        init_only: Vec::new(),
        out: of.out.as_ref().map(|out| out.join("local")),
        random_seed: of.random_seed,
        local: LocalArgs { validate_every: Some(0), ..LocalArgs::default() },
        fold: None,
        resume: false,
        force: of.force,
        stop: Cancel::new(),
    }
}

/// Shows events, few about single nodes.
struct Show {
    view: View,
    /// Lines so far: about nodes that are left out or dropped, and warnings.
    lines: BTreeMap<&'static str, usize>,
}

impl Show {
    fn new(of: &SimulationOptions, printer: &Printer) -> Self {
        let view = View {
            printer: *printer,
            metric: of.file.training.test_metric,
            rounds: of.file.rounds,
            bars: Bars::default(),
        };
        Self { view, lines: BTreeMap::new() }
    }

    fn see(&mut self, event: Event) {
        let printer = self.view.printer;
        let what = match &event {
            // The partition was shown.
            Event::Started { experiment_id, random_seed, nodes, .. } => {
                let n = nodes.len();
                let fields =
                    json!({ "experiment": experiment_id, "random_seed": random_seed, "nodes": n });
                printer.event("started", &fields);
                printer.line(format!("experiment {experiment_id}, seed {random_seed}"));
                return;
            }
            Event::Dropped { .. } | Event::Returned { .. } if printer.is_json() => None,
            Event::Dropped { .. } => Some("nodes that are dropped"),
            // Those that did not answer are asked again in their next round.
            Event::Returned { .. } => return,
            Event::Warning(_) => Some("warnings"),
            _ => None,
        };
        let Some(what) = what else { return self.view.show(event) };
        let n = self.lines.entry(what).or_default();
        *n += 1;
        match *n {
            n if n <= NODE_LINES_MAX => self.view.show(event),
            n if n == NODE_LINES_MAX + 1 => {
                printer.note(format!("more {what} are not shown; history.json has all"));
            }
            _ => {}
        }
    }
}

fn show_partition(of: &Simulation, args: &Args, printer: &Printer) {
    let partition = of.partition();
    let sizes: Vec<usize> = partition.nodes.values().map(|part| part.rows.len()).collect();
    let (least, most) = (sizes.iter().min().copied(), sizes.iter().max().copied());
    let (n, sum) = (sizes.len(), sizes.iter().sum::<usize>());
    let fields = json!({
        "nodes": n, "rows": sum, "rows_min": least, "rows_max": most, "empty": partition.n_empty,
        "split": partition.split.to_string(),
    });
    printer.event("partition", &fields);
    printer.line(format!(
        "nodes      {n} with {} to {} of {sum} rows ({})",
        least.unwrap_or(0),
        most.unwrap_or(0),
        partition.split
    ));
    if partition.n_empty > 0 {
        let n = partition.n_empty;
        printer.line(format!("           {n} more got no rows and do not take part"));
    }
    if args.out.is_none() {
        printer.note("no --out: only the output on this terminal is kept");
    }
}

fn print(
    of: &SimulationOptions,
    simulated: &Simulated,
    local: Option<&LocalResult>,
    printer: &Printer,
) {
    let Simulated { result, rounds } = simulated;
    // Thousands of nodes are in the history, and not in lines.
    show_end(&fedwasm_record::History { expected: [].into(), ..result.history.clone() }, printer);
    let n_out: usize = rounds.iter().map(|round| round.dropped_out.len()).sum();
    let n_late: usize = rounds.iter().map(|round| round.late.len()).sum();
    let n_asked: usize = rounds.iter().map(|round| round.n_asked).sum();
    let seconds: Option<f64> = rounds.iter().map(|round| round.seconds).sum();
    printer.line(format!("asked      {n_asked} times; {n_out} dropped out, {n_late} were late"));
    if let Some(seconds) = seconds {
        printer.line(format!("simulated  {seconds:.1} s"));
    }
    let scores = |evaluation: Option<&Evaluation>| {
        let metric = |name: &str| evaluation.and_then(|of| of.metrics.get(name)).copied();
        ["accuracy", "loss"].map(metric)
    };
    if let Some(local) = local {
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
        let line = |name: &str, evaluation: Option<&Evaluation>| {
            let [accuracy, loss] = scores(evaluation).map(shown);
            vec![name.to_owned(), accuracy, loss]
        };
        let lines = [
            ["", "accuracy", "loss"].map(str::to_owned).to_vec(),
            line("simulation", result.evaluation.as_ref()),
            line("local", local.evaluation.as_ref()),
        ];
        Columns::new(1).left(10).right(10).right(8).print(&lines, printer);
    }
    printer.line(format!("parameters sha256:{}", result.params_sha256));
    if let Some(out) = &of.out {
        printer.line(format!("files      {}", out.display()));
    }
    let mut fields = result_fields(result);
    if let Some(fields) = fields.as_object_mut() {
        // As many as there are nodes.
        for key in ["nodes_expected", "missing"] {
            fields.remove(key);
        }
    }
    fields["plan_sha256"] = json!(of.component.digest());
    fields["asked"] = json!({ "times": n_asked, "dropped_out": n_out, "late": n_late });
    fields["simulated_s"] = json!(seconds);
    if let Some(local) = local {
        let metrics = local.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        fields["local"] = json!({ "params_sha256": local.params_sha256, "metrics": metrics });
    }
    printer.event("result", &fields);
}
