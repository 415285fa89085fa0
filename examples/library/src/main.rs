//! fedwasm as a library: a local job, then a federation of two nodes with
//! broker and repository, all in this process.
//!
//! ```text
//! cargo run -p library
//! ```
#![allow(clippy::print_stdout, reason = "this is what an example is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedwasm_folder::Folder;
use fedwasm_hub::{Broker, PruneOptions, QUOTA_BYTES, RepositoryOptions, RepositoryServer, Store};
use fedwasm_local::{LocalFile, LocalJob, LocalOptions, LocalResult, Renames, Volumes};
use fedwasm_node::{Database, Datasets, NewDataset, NodeConfig, Policy};
use fedwasm_researcher::{
    AggregatorArgs, Cancel, Event, Experiment, ExperimentFile, ExperimentOptions, ExperimentResult,
    Sandbox, WorkerOptions, load_plan,
};
use fedwasm_trust::Authority;
use tokio::sync::watch;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let local = local_job()?;
    println!("local      {} {:?}", local.params_sha256, local.evaluation);
    let dir = tempfile::tempdir()?;
    let federated = tokio::runtime::Runtime::new()?.block_on(federation(dir.path()))?;
    println!("federation {} {:?}", federated.params_sha256, federated.evaluation);
    Ok(())
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `fedwasm local` does.
fn local_job() -> Outcome<LocalResult> {
    let text = "[data]\ntarget = \"benign\"\n[training]\nepochs = 3\ntest_ratio = 0.2";
    let file = LocalFile::parse(text, Path::new("(here)"))?;
    let mut job = LocalJob::new(LocalOptions {
        component: load_plan(&root().join("plugins/dist/logistic-regression.wasm"))?,
        // A program other than `fedwasm` runs plans with the one beside it.
        sandbox: Sandbox::new(WorkerOptions::default())?,
        limits: file.limits,
        path: root().join("examples/data/breast_cancer.csv"),
        format: None,
        volumes: Volumes::default(),
        renames: Renames::new(),
        data: file.data.ok_or("no data")?,
        training: file.training.ok_or("no training arguments")?,
        model: file.model,
        params: None,
        init_only: Vec::new(),
        out: None,
        random_seed: 42,
        local: file.local,
        fold: None,
        resume: false,
        force: false,
        stop: Cancel::new(),
    })?;
    Ok(job.start_training(drop, &Cancel::new())?)
}

/// What `fedwasm network start`, `node start` and `experiment run` do.
async fn federation(dir: &Path) -> Outcome<ExperimentResult> {
    let any = ([127, 0, 0, 1], 0).into();
    let blobs = dir.join("blobs");
    std::fs::create_dir_all(&blobs)?;
    // Who is who; on one machine it takes in whoever asks.
    let authority = Arc::new(Authority::create(&dir.join("federation"), "library")?);
    let broker = Broker::start(any, &authority).await?;
    let (address, quota_bytes) = (any, QUOTA_BYTES);
    let (store, prune) = (Store::files(&blobs)?, PruneOptions::default());
    let options = RepositoryOptions { address, store, authority, quota_bytes, prune };
    let repository = RepositoryServer::start(options).await?;
    let mqtt = format!("mqtt://{}", broker.address());
    let url = format!("http://{}", repository.address());

    let (stop, stopped) = watch::channel(false);
    let mut nodes = Vec::new();
    for id in ["site-1", "site-2"] {
        let folder = node(&dir.join(id), id, &mqtt, &url)?;
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut stopped = stopped.clone();
        nodes.push(tokio::spawn(async move {
            let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
            let ready = |_: &NodeConfig| {
                let _ = ready.send(());
            };
            fedwasm_node::serve(&folder, ready, stop).await
        }));
        is_ready.await?;
    }

    let text = format!(
        "name = \"library\"\nplan = \"logistic-regression.wasm\"\nrounds = 3\n\
         [data]\ntags = [\"breast-cancer\"]\ntarget = \"benign\"\n\
         standardize = \"federation\"\n\
         [training]\nepochs = 1\ntest_ratio = 0.2\ntest_on_global_updates = true\n\
         [model]\nn_classes = 2\n[strategy]\nmin_nodes = 2\n\
         [network]\nmqtt = \"{mqtt}\"\nrepository = \"{url}\"\nidentity = \"{identity}\"\n",
        identity = dir.join("researcher").display(),
    );
    let file = ExperimentFile::parse(&text, Path::new("(here)"))?;
    // What a file can say can be said here, too.
    let file = ExperimentFile { aggregator: AggregatorArgs::Scaffold { server_lr: 1.0 }, ..file };
    let options = ExperimentOptions {
        component: load_plan(&root().join("plugins/dist/logistic-regression.wasm"))?,
        signatures: Vec::new(),
        sandbox: Sandbox::new(WorkerOptions::default())?,
        file,
        random_seed: 42,
        out: Some(dir.join("run")),
        resume: false,
        change: false,
        force: false,
        params: None,
    };
    let mut events = |event: Event| {
        if let Event::Dropped { node, reason, .. } = event {
            println!("{node} is dropped: {reason}");
        }
    };
    let mut experiment = Experiment::start(options, stopped.clone(), &mut events).await?;
    while let Some(record) = experiment.run_once(&mut events).await? {
        let nodes = experiment.job().nodes().len();
        println!("round {} of {nodes} nodes: {:?}", record.round, record.evaluation);
    }
    let result = experiment.finish().await?;

    stop.send(true)?;
    for node in nodes {
        node.await??;
    }
    broker.stop().await;
    repository.stop().await;
    Ok(result)
}

/// What `fedwasm node init` and `node dataset add` do.
fn node(dir: &Path, id: &str, mqtt: &str, repository: &str) -> Outcome<PathBuf> {
    let mut config = NodeConfig::new(id.parse()?, mqtt.into(), repository.into());
    // Whoever wrote the plan runs the nodes, too.
    config.approval.policy = Policy::Any;
    let database = Database::open(dir, &config.create(dir)?)?;
    let folder = Folder::open(dir)?;
    let data = root().join("examples/data/breast_cancer.csv");
    let tags = vec!["breast-cancer".to_owned()];
    let name = "breast-cancer".parse()?;
    let new = NewDataset {
        name,
        path: &data,
        format: None,
        tags,
        volumes: Volumes::default(),
        renames: Renames::new(),
    };
    Datasets::load(&folder)?.add(&folder, &database, new)?;
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_job_gives_scores() {
        let result = local_job().unwrap();
        assert!(result.evaluation.unwrap().metrics["accuracy"] > 0.9);
    }

    #[test]
    fn federation_runs_in_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let result = runtime.block_on(federation(dir.path())).unwrap();
        assert_eq!((result.nodes.len(), result.history.rounds.len()), (2, 3));
        assert!(result.evaluation.unwrap().metrics["accuracy"] > 0.9);
        assert!(dir.path().join("run/report.html").exists());
    }
}
