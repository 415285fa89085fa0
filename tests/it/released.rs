//! Plans that were built for a released contract run for ever, and give the same bytes.
//! `tests/data/plans/VERSION/` keeps them as they were compiled then, and `runs.json` says
//! what they gave. Nothing there is ever replaced; a new version gets a directory of its own.

use fedwasm_artifact::{Component, Contract};
use fedwasm_protocol::Digest;
use serde::Deserialize;

use crate::support::{fedwasm, root};

/// One run of a kept plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    plan: String,
    plan_sha256: Digest,
    /// From the root of the repository.
    data: String,
    args: Option<String>,
    options: Vec<String>,
    params_sha256: String,
}

#[test]
fn plans_of_every_released_contract_give_the_same_bytes() {
    let plans = root().join("tests/data/plans");
    let is_released =
        |contract: &Contract| root().join("wit/released").join(contract.to_string()).is_dir();
    for contract in Contract::ALL.into_iter().filter(is_released) {
        let dir = plans.join(contract.to_string());
        let runs = std::fs::read_to_string(dir.join("runs.json")).unwrap();
        let runs: Vec<Run> = serde_json::from_str(&runs).unwrap();
        assert!(runs.len() >= 2, "{contract}");
        for run in runs {
            let plan = dir.join(&run.plan);
            let bytes = std::fs::read(&plan).unwrap();
            let component = Component::admit_as(bytes, &run.plan_sha256).unwrap();
            assert_eq!(component.contract(), contract, "{}", run.plan);
            let mut command = fedwasm(&["--json", "local", "--plan"]).arg(&plan);
            command = command.arg("--data").arg(root().join(&run.data));
            if let Some(args) = &run.args {
                command = command.arg("--args").arg(dir.join(args));
            }
            let options: Vec<&str> = run.options.iter().map(String::as_str).collect();
            let result = command.args(&options).ok().result();
            assert_eq!(result["params_sha256"], run.params_sha256, "{}", run.plan);
        }
    }
}
