//! A simulation: nodes with their rows, and an experiment with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format, Held, Renames, Volumes};
use fedwasm_folder::Folder;
use fedwasm_node::{Privacy, SimulatedNodes, SimulatedOptions};
use fedwasm_protocol::Limits;
use fedwasm_report::partition_svg;
use fedwasm_researcher::{
    Connection, Events, Experiment, ExperimentFile, ExperimentOptions, ExperimentResult, Sandbox,
};
use fedwasm_transport::Repository;
use serde_json::json;
use tokio::sync::watch;

use crate::crowd::Crowd;
use crate::shelf::Shelf;
use crate::{ClassCounts, Conditions, Error, Partition, SimulatedRound, Split};

/// The most nodes.
pub const NODES_MAX: usize = 100_000;
/// The name of each node's dataset.
const DATASET: &str = "rows";
/// The researcher's name.
const RESEARCHER: &str = "simulation";
/// The most MiB of a node's rows in memory: as at a node with the standard settings.
const MEMORY_MIB_MAX: u64 = 1_024;

/// The inputs of a simulation beside its experiment.
#[derive(Clone, Debug)]
pub struct SimulationOptions {
    /// The experiment. `[network]` does not matter, and no breakpoints are written: the same seed
    /// gives the same run again.
    pub file: ExperimentFile,
    /// The plan.
    pub component: Component,
    /// Where it runs: at the researcher, and at all nodes.
    pub sandbox: Sandbox,
    /// Where all randomness comes from.
    pub random_seed: u64,
    /// The rows of all nodes.
    pub data: PathBuf,
    /// Their format; found by the content if none is given.
    pub format: Option<Format>,
    /// How volumes are read.
    pub volumes: Volumes,
    /// Other names of columns.
    pub renames: Renames,
    /// How many nodes; none: as many as the rule says.
    pub n_nodes: Option<usize>,
    /// Which rows each has.
    pub split: Split,
    /// What befalls them.
    pub conditions: Conditions,
    /// The fewest rows that a node tells about. Real nodes have 10 unless their operators say
    /// otherwise.
    pub min_rows: u64,
    /// Nodes that work at once; 0: as many as the machine has processors.
    pub threads: usize,
    /// Where files go; none are written if none.
    pub out: Option<PathBuf>,
    /// Whether to write over the results of an earlier run in `out`.
    pub force: bool,
}

/// A simulation that is ready to run.
#[derive(Debug)]
pub struct Simulation {
    options: ExperimentOptions,
    partition: Partition,
    conditions: Conditions,
    crowd: Arc<Crowd>,
    shelf: Arc<Shelf>,
}

/// The results of a simulation.
#[derive(Debug)]
pub struct Simulated {
    /// Those of the experiment.
    pub result: ExperimentResult,
    /// The questions to train.
    pub rounds: Vec<SimulatedRound>,
}

impl Simulation {
    /// Reads the file, deals its rows to nodes, and compiles the plan. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(options: SimulationOptions) -> Result<Self, Error> {
        let SimulationOptions { file, component, sandbox, random_seed, .. } = options;
        let SimulationOptions { conditions, out, force, split, n_nodes, .. } = options;
        check_keys(&file)?;
        let max = NODES_MAX;
        if let Some(got) = n_nodes.filter(|n| !(1..=max).contains(n)) {
            return Err(Error::Nodes { got, max });
        }
        let file = simulated(file);
        let data = Dataset::open_with(&options.data, options.format, &options.volumes)?;
        let data = data.renamed(&options.renames)?;
        let partition = Partition::deal(&data, &file.data, &split, n_nodes, random_seed)?;
        if !(1..=max).contains(&partition.nodes.len()) {
            return Err(Error::Nodes { got: partition.nodes.len(), max });
        }
        let held = Held::new(&data);
        let site = |(node, part): (&_, &crate::Part)| {
            Ok::<_, Error>((Clone::clone(node), held.rows(&part.rows)?))
        };
        let sites = partition.nodes.iter().map(site).collect::<Result<_, _>>()?;
        let seats = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        // Only plans that count fuel are compiled to do so.
        let limits = Limits::default();
        let fuel_max = limits.fuel_max.or(file.limits.fuel_max.map(|_| u64::MAX));
        let nodes = SimulatedOptions {
            component: component.clone(),
            sandbox: sandbox.clone(),
            limits: Limits { fuel_max, ..limits },
            strict: file.strict,
            privacy: Privacy { min_rows: options.min_rows, ..Privacy::default() },
            memory_mib_max: MEMORY_MIB_MAX,
            seats,
            random_seed,
            dataset: DATASET.parse().map_err(|_| Error::Nodes { got: 0, max })?,
            tags: file.data.tags.clone(),
        };
        let nodes = SimulatedNodes::new(nodes, sites)?;
        let shelf = Arc::new(Shelf::default());
        let crowd = Crowd::new(nodes, Arc::clone(&shelf), conditions.clone(), random_seed);
        let options = ExperimentOptions {
            file,
            component,
            signatures: Vec::new(),
            sandbox,
            random_seed,
            out,
            resume: false,
            change: false,
            force,
            params: None,
        };
        Ok(Self { options, partition, conditions, crowd: Arc::new(crowd), shelf })
    }

    /// Which rows each node has.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Runs the experiment to its end. Files go to `out`, after an error too: what was reached is
    /// kept.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(
        self,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Simulated, Error> {
        let Self { options, partition, conditions, crowd, shelf } = self;
        let out = options.out.clone();
        let researcher = RESEARCHER.parse();
        let researcher = researcher.map_err(|_| Error::Nodes { got: 0, max: NODES_MAX })?;
        let nodes = Arc::clone(&crowd) as Arc<dyn fedwasm_researcher::NodesHere>;
        let repository = Repository::over(shelf);
        let here = Connection::Here { researcher, nodes, repository };
        let mut experiment = Experiment::start_on(here, options, cancelled, events).await?;
        if let Some(dir) = &out {
            write_partition(dir, &partition)?;
        }
        let ran = experiment.run(events).await;
        if let Some(dir) = &out {
            write_rounds(dir, (&partition, &conditions), &crowd.rounds())?;
        }
        let result = match ran {
            Ok(()) => experiment.finish().await?,
            Err(error) => {
                experiment.abandon(&error).await;
                return Err(error.into());
            }
        };
        Ok(Simulated { result, rounds: crowd.rounds() })
    }
}

/// The experiment as it is simulated.
fn simulated(mut file: ExperimentFile) -> ExperimentFile {
    file.save_breakpoints = false;
    // Each node has one dataset, with all tags.
    file.data.dataset = None;
    file
}

/// Refuses what needs keys.
fn check_keys(file: &ExperimentFile) -> Result<(), Error> {
    if file.secagg.is_some() {
        let (what, key) = ("the experiment is under secure aggregation", "[secagg]");
        return Err(Error::NeedsKeys { what, key });
    }
    if file.strategy.require_receipts {
        let (what, key) = ("the experiment requires receipts", "strategy.require_receipts");
        return Err(Error::NeedsKeys { what, key });
    }
    Ok(())
}

/// Writes `partition.json`, and `partition.svg` where there are classes.
fn write_partition(dir: &Path, partition: &Partition) -> Result<(), Error> {
    let folder = Folder::create(dir)?;
    let Partition { split, random_seed, nodes, n_empty, .. } = partition;
    let json = json!({
        "split": split.to_string(), "random_seed": random_seed, "nodes": nodes, "empty": n_empty,
    });
    folder.write("partition.json", json.to_string().as_bytes())?;
    if let Some(ClassCounts { classes, nodes: counts }) = partition.counts() {
        let classes: Vec<String> = classes.iter().map(i64::to_string).collect();
        let nodes: Vec<(&str, &[u64])> =
            counts.iter().map(|(node, counts)| (node.as_str(), counts.as_slice())).collect();
        let title = format!("{} nodes, {split}", nodes.len());
        let svg = partition_svg(&title, &classes, &nodes)?;
        folder.write("partition.svg", svg.as_bytes())?;
    }
    Ok(())
}

/// Writes `simulation.json`.
fn write_rounds(
    dir: &Path,
    (partition, conditions): (&Partition, &Conditions),
    rounds: &[SimulatedRound],
) -> Result<(), Error> {
    let json = json!({
        "split": partition.split.to_string(), "random_seed": partition.random_seed,
        "nodes": partition.nodes.len(), "conditions": conditions, "rounds": rounds,
    });
    let text = serde_json::to_vec_pretty(&json).map_err(std::io::Error::from)?;
    Ok(Folder::create(dir)?.write("simulation.json", &text)?)
}
