//! New plans in Python: one file, and what comes with the shipped plan of the same name.

use std::path::PathBuf;

use crate::command_error::{CommandError, USAGE};
use crate::template::{camel_case, companions, data_file, template};

/// Names and texts.
const TEMPLATES: [(&str, &str); 5] = [
    ("logistic-regression", include_str!("templates/logistic-regression.py")),
    ("linear-regression", include_str!("templates/linear-regression.py")),
    ("mlp", include_str!("templates/mlp.py")),
    ("cnn", include_str!("templates/cnn.py")),
    ("lstm", include_str!("templates/lstm.py")),
];

/// Returns all files of a new plan: paths from its directory, and contents. Its rows are those of the
/// shipped plan.
pub(crate) fn python_plan(name: &str, from: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, CommandError> {
    if camel_case(name) == "None" {
        let text = format!("`{name}` is not a valid plan name: Python reserves `None`");
        return Err(CommandError::new(USAGE, text + "\nhelp: take a name like `heart-risk`"));
    }
    let Some((_, source)) = TEMPLATES.iter().find(|(known, _)| *known == from) else {
        let all: Vec<String> = TEMPLATES.iter().map(|(name, _)| format!("`{name}`")).collect();
        let text = format!(
            "the template `{from}` does not exist in Python\nhelp: there are {}",
            all.join(", ")
        );
        return Err(CommandError::new(USAGE, text));
    };
    let twin = template(from)?;
    let source = source
        .replace(&format!("class {}(", camel_case(from)), &format!("class {}(", camel_case(name)))
        .replace(&format!("name = \"{from}\""), &format!("name = \"{name}\""));
    let mut files = companions(twin);
    files.push(("plan.py".into(), source.into()));
    files.push(("README.md".into(), readme(name, from, data_file(twin)).into()));
    Ok(files)
}

fn readme(name: &str, from: &str, data: &str) -> String {
    format!(
        "# {name}
A training plan for fedwasm in Python, started from the plan `{from}`.
```
fedwasm plan build {name}/plan.py          # {name}.wasm; no compiler and no network are needed
fedwasm plan inspect {name}.wasm           # all that it does, call by call
fedwasm plan test {name}.wasm --args {name}/args.toml    # the promises of every plan, and its gradient
fedwasm local --plan {name}.wasm --data {name}/{data} --args {name}/args.toml --out run
```
These are run from the directory that holds `{name}`, where `python3` has the package `fedwasm`; the environment variable `FEDWASM_PYTHON` names another Python.
- `plan.py`: the model and a training step. Attributes with a type are arguments, which an experiment sets.
- `args.toml`: training arguments; `fedwasm plan inspect {name}.wasm` lists those of the plan.
- `{data}`: made-up rows; put your own in their place.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_renamed_and_complete() {
        for (from, _) in TEMPLATES {
            let files = python_plan("heart-risk_2", from).unwrap();
            let data = data_file(template(from).unwrap());
            let text = |path: &str| {
                let found = files.iter().filter(|(known, _)| known.as_os_str() == path);
                let found: Vec<_> = found.map(|(_, content)| content.clone()).collect();
                assert_eq!(found.len(), 1, "{from}: {path}");
                String::from_utf8(found[0].clone()).unwrap()
            };
            let source = text("plan.py");
            assert!(source.contains("\nclass HeartRisk2(fw.Plan):\n"), "{source}");
            assert!(source.contains("\n    name = \"heart-risk_2\"\n"), "{source}");
            assert!(text("args.toml").contains("[training]") && text(data).len() > 1_000);
            assert_eq!(files.len(), 4, "{from}");
        }
        assert!(python_plan("none", "mlp").is_err());
    }
}
