//! `fedwasm node privacy`: the budgets of a node's datasets, spent and left.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use fedwasm_node::{Database, Dataset, Datasets, Floors, NodeConfig, Spent};
use serde_json::{Value, json};

use crate::command_error::CommandError;
use crate::printer::Printer;

/// Look at the budgets of differential privacy.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the budget of each dataset, spent and left, and how much a round can tell.
    Show {
        /// The node's directory.
        dir: PathBuf,
    },
}

pub(crate) fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    let Command::Show { dir } = command;
    show(&dir, printer)
}

fn show(dir: &Path, printer: &Printer) -> Result<(), CommandError> {
    let (config, folder) = NodeConfig::open(dir)?;
    let database = Database::open(dir, &config.identity(dir)?)?;
    let datasets = Datasets::load(&folder)?;
    let mut all = Vec::new();
    for dataset in datasets.iter() {
        let account = Account::of(&config, &database, dataset)?;
        account.lines().into_iter().for_each(|line| printer.line(line));
        all.push(account.fields());
    }
    if all.is_empty() {
        printer.line("no dataset is registered");
    }
    for name in config.privacy.datasets.keys() {
        if !datasets.iter().any(|dataset| dataset.name.as_str() == name) {
            printer.note(format!("warning: [privacy.{name}] is of no registered dataset"));
        }
    }
    printer.event("result", &json!({ "datasets": all }));
    Ok(())
}

/// A dataset, its floors, and its rounds so far.
struct Account {
    dataset: String,
    floors: Floors,
    spent: Spent,
    epsilon: f64,
    epsilon_of_replacing: f64,
    /// With a noise multiplier and a budget.
    rounds_left: Option<u64>,
}

impl Account {
    fn of(
        config: &NodeConfig,
        database: &Database,
        dataset: &Dataset,
    ) -> Result<Self, CommandError> {
        let floors = config.privacy.floors_of(dataset.name.as_str());
        let spent = database.spent_of(dataset)?;
        let delta = floors.delta();
        let rounds_left = match (floors.epsilon, floors.noise_multiplier) {
            (Some(budget), Some(z)) => Some(spent.rounds_left(budget, delta, z)?),
            _ => None,
        };
        Ok(Self {
            dataset: dataset.name.to_string(),
            epsilon: spent.epsilon(delta)?,
            epsilon_of_replacing: spent.epsilon_of_replacing(delta)?,
            rounds_left,
            floors,
            spent,
        })
    }

    fn lines(&self) -> Vec<String> {
        let Self { dataset, floors, spent, epsilon, epsilon_of_replacing, rounds_left } = self;
        let (delta, n_rounds) = (floors.delta(), spent.n_rounds());
        let mut lines = vec![match (floors.clip, floors.noise_multiplier) {
            (Some(clip), Some(z)) => {
                format!(
                    "{dataset}: every update is clipped to {clip} and has noise of multiplier {z}"
                )
            }
            _ => format!("{dataset}: updates have noise only if the researcher asks for it"),
        }];
        let rounds = if n_rounds == 1 { "round" } else { "rounds" };
        let budget = match (floors.epsilon, rounds_left) {
            (Some(budget), Some(left)) => format!(" of {budget}, room for {left} more"),
            _ => ", without a budget".to_owned(),
        };
        lines.push(format!(
            "  spent: epsilon {epsilon:.4} in {n_rounds} {rounds} (delta {delta:e}){budget}"
        ));
        if n_rounds > 0 {
            lines.push(format!(
                "  that compares the dataset with none; with other rows in its place it is \
                 {epsilon_of_replacing:.4}"
            ));
        }
        lines.push(match floors.noise_multiplier {
            Some(z) => format!(
                "  a round tells at most {:.2} bits about the rows by its parameters, whatever its plan is",
                spent.bits_of_round(z)
            ),
            None => "  a round can tell as many bits as its parameters have".to_owned(),
        });
        if floors.noise_multiplier.is_some() {
            let (digits, ms) = (floors.metrics_digits(), floors.time_step_ms());
            let metrics = match floors.metrics.as_deref() {
                None | Some([]) => "no metric".to_owned(),
                Some(metrics) => format!("{} with {digits} digits", metrics.join(", ")),
            };
            lines.push(format!(
                "  beside them leave: {metrics}; whether a round failed; its time in steps of {ms} ms"
            ));
        }
        lines.push(self.sums());
        lines
    }

    /// The floors of secure sums.
    fn sums(&self) -> String {
        let Self { floors, .. } = self;
        let sums = match floors.secagg.as_deref() {
            None => "updates go into a secure sum if the researcher asks for one".to_owned(),
            Some(schemes) => {
                let schemes: Vec<&str> = schemes.iter().map(|scheme| scheme.name()).collect();
                format!("updates go into secure sums only ({})", schemes.join(" or "))
            }
        };
        let clip = floors.secagg_clip.map(|clip| format!(", values within \u{b1} {clip}"));
        let honest = match (floors.noise_multiplier, floors.honest_parties()) {
            (None, _) | (Some(_), 1) => String::new(),
            (Some(z), n) => format!("; the noise of {n} honest nodes together has multiplier {z}"),
        };
        let (min, clip) = (floors.min_parties(), clip.unwrap_or_default());
        format!("  {sums}: of {min} nodes or more{clip}{honest}")
    }

    fn fields(&self) -> Value {
        let Self { dataset, floors, spent, epsilon, epsilon_of_replacing, rounds_left } = self;
        json!({
            "dataset": dataset,
            "clip": floors.clip,
            "noise_multiplier": floors.noise_multiplier,
            "delta": floors.delta(),
            "budget": floors.epsilon,
            "rounds": spent.n_rounds(),
            "epsilon": epsilon,
            "epsilon_of_replacing": epsilon_of_replacing,
            "rounds_left": rounds_left,
            "bits_of_round": floors.noise_multiplier.map(|z| spent.bits_of_round(z)),
            "metrics": floors.metrics.clone().unwrap_or_default(),
            "metrics_digits": floors.metrics_digits(),
            "time_step_ms": floors.time_step_ms(),
            "secagg": floors.secagg,
            "min_parties": floors.min_parties(),
            "secagg_clip": floors.secagg_clip,
            "honest_parties": floors.honest_parties(),
        })
    }
}
