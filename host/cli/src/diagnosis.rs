//! Where a plan's author should look, and what to do, for the errors that an author meets.

use std::path::Path;

use fedwasm_record::sections::key_range;
use fedwasm_sandbox::{ArgumentError, Error, Fault, FaultKind};

/// The largest file whose lines are shown.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest line that is shown, in characters.
const LINE_CHARS_MAX: usize = 120;

/// What there is to say beyond the message.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    /// A place in sources, as `src/lib.rs:44:24`.
    pub(crate) place: Option<String>,
    /// What to do.
    pub(crate) help: Option<String>,
    /// The arguments that are wrong, as `model.n_features`.
    pub(crate) arguments: Vec<String>,
}

impl Diagnosis {
    fn help(text: impl Into<String>) -> Self {
        Self { help: Some(text.into()), ..Self::default() }
    }
}

/// Looks at an error of the sandbox.
pub(crate) fn of(error: &Error) -> Diagnosis {
    match error {
        Error::Fault(fault) => of_fault(fault),
        Error::Argument(error) => {
            let help = match error {
                // Its message names the nearest argument.
                ArgumentError::Unknown { .. } => None,
                ArgumentError::Missing { name, .. } => {
                    let (section, key) = name.split_once('.').unwrap_or(("model", name));
                    let place = format!("give `{key}` under [{section}]");
                    Some(place + " of the experiment's file, or of a file for --args")
                }
                _ => Some("`fedwasm plan inspect` lists the arguments of a plan".into()),
            };
            let name = |error: &ArgumentError| match error {
                ArgumentError::Unknown { name, .. }
                | ArgumentError::Kind { name, .. }
                | ArgumentError::Missing { name, .. } => Some(name.clone()),
                _ => None,
            };
            let arguments = error.each().iter().filter_map(name).collect();
            Diagnosis { help, arguments, place: None }
        }
        Error::Params { .. } => Diagnosis::help(
            "parameters fit the plan and the model arguments that they were trained with",
        ),
        _ => Diagnosis::default(),
    }
}

fn of_fault(fault: &Fault) -> Diagnosis {
    match fault.kind {
        FaultKind::Panicked => {
            let place = source_place(&fault.detail);
            let help = match place.as_deref().is_some_and(|place| place.starts_with("/rustc/")) {
                true => {
                    "the place is in Rust's library: the plan asks it for what plans cannot reach, such \
                     as a clock, a file or a thread"
                }
                false => "the place is in the plan; `fedwasm plan test` tries it on a few rows",
            };
            Diagnosis { place, ..Diagnosis::help(help) }
        }
        FaultKind::BadData if fault.detail.contains("layer `") => Diagnosis::help(
            "what a layer gives must be what the next one takes; `fedwasm plan inspect` lists the \
             arguments that sizes follow from",
        ),
        FaultKind::BadData if fault.detail.contains("class ") => Diagnosis::help(
            "classes count from 0; their number is an argument under [model], such as `n_classes`",
        ),
        FaultKind::OutOfMemory | FaultKind::DeadlineExceeded | FaultKind::BadOutput
            if let Some(setting) = setting(&fault.detail) =>
        {
            let or = match setting {
                "memory_bytes_max" => ", or smaller batches (`batch_size`)",
                "time_ms_max" => ", or train for fewer epochs at once",
                _ => "",
            };
            Diagnosis::help(format!("give a larger `{setting}` under [limits]{or}"))
        }
        FaultKind::StackExhausted => Diagnosis::help(
            "replace the recursion by a loop, and large arrays on the stack by a Vec",
        ),
        FaultKind::OutOfFuel => {
            Diagnosis::help("give a larger `fuel_max` under [limits], or train less at once")
        }
        FaultKind::InvalidArgument => Diagnosis {
            arguments: fault
                .detail
                .split([' ', ':'])
                .take(1)
                .map(|key| key.trim_matches('`').into())
                .collect(),
            ..Diagnosis::help("`fedwasm plan inspect` lists the arguments of a plan")
        },
        FaultKind::BadOutput | FaultKind::GaveUp => Diagnosis::help(
            "`fedwasm plan test` says which part of the contract a plan does not keep",
        ),
        _ => Diagnosis::default(),
    }
}

/// The setting that a limit follows from, where raising it would help.
fn setting(detail: &str) -> Option<&str> {
    detail.strip_suffix("`)")?.rsplit_once("(`").map(|(_, setting)| setting)
}

/// Takes `src/lib.rs:44:24` out of what a panic says.
fn source_place(detail: &str) -> Option<String> {
    let place = detail.split("panicked at ").nth(1)?.split([' ', '\n']).next()?;
    let place = place.trim_end_matches(':');
    let numbers = place.rsplitn(3, ':').take(2);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (place.contains(".rs:") && numbers.into_iter().all(all_digits)).then(|| place.to_owned())
}

/// Shows the line of a TOML file that gives `argument`; none if it does not.
pub(crate) fn in_toml(path: &Path, argument: &str) -> Option<String> {
    let text = String::from_utf8(fedwasm_folder::read_file(path, FILE_BYTES_MAX).ok()?).ok()?;
    let range = key_range(&text, &keys(argument))?;
    let before = text.get(..range.start)?;
    let (row, start) =
        (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |at| at + 1));
    let line: String = text.get(start..)?.lines().next()?.chars().take(LINE_CHARS_MAX).collect();
    let column = before.get(start..)?.chars().count();
    let width = text.get(range)?.chars().count().max(1);
    let margin = " ".repeat(row.to_string().len());
    let (blank, carets) = (" ".repeat(column), "^".repeat(width));
    let place = format!("{}:{row}:{}", path.display(), column + 1);
    Some(format!("{place}\n{margin} |\n{row} | {line}\n{margin} | {blank}{carets}"))
}

/// The keys that lead to an argument: `model.x` is `x` of [model], `optimizer.x` is `x` of
/// `optimizer_args` of [training].
fn keys(argument: &str) -> Vec<&str> {
    match argument.strip_prefix("optimizer.") {
        Some(rest) => ["training", "optimizer_args"].into_iter().chain(rest.split('.')).collect(),
        None => argument.split('.').collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_is_taken_out() {
        let place = |text| source_place(text);
        let panic = "panicked at plan/src/lib.rs:44:24: batch of 32 rows";
        assert_eq!(place(panic).as_deref(), Some("plan/src/lib.rs:44:24"));
        assert_eq!(place("panicked at src/lib.rs:1:2:\nx").as_deref(), Some("src/lib.rs:1:2"));
        for text in ["", "panicked at ", "panicked at a b", "panicked at x.rs:a:1: c", "42"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn a_hint_names_the_setting_that_helps_and_none_where_none_does() {
        let help = |kind, detail: &str| {
            let digest = fedwasm_protocol::Digest::of(b"");
            let plan =
                fedwasm_sandbox::PlanName { name: String::new(), version: String::new(), digest };
            of_fault(&Fault { plan, kind, detail: detail.into() }).help.unwrap_or_default()
        };
        let memory = help(FaultKind::OutOfMemory, "it may have 1 bytes (`memory_bytes_max`)");
        assert!(memory.starts_with("give a larger `memory_bytes_max` under [limits]"), "{memory}");
        let slow = "compiling it took longer than 1 ms (`compile_ms_max`)";
        let compiling = help(FaultKind::DeadlineExceeded, slow);
        assert_eq!(compiling, "give a larger `compile_ms_max` under [limits]");
        let large = "it declares more than 1 bytes of tensors (`declared_bytes_max`)";
        let declared = help(FaultKind::BadOutput, large);
        assert_eq!(declared, "give a larger `declared_bytes_max` under [limits]");
        let fixed = "`describe` took longer than 1000 ms (the same for every plan)";
        assert_eq!(help(FaultKind::DeadlineExceeded, fixed), "");
    }

    #[test]
    fn arguments_are_found_wherever_a_file_gives_them() {
        for (text, argument, expected) in [
            ("[model]\na = 1\nn_x = 2\n", "model.n_x", Some("n_x")),
            ("model = { \"é\" = 1, b = 2 }", "model.b", Some("b")),
            ("[model.deep]\nx = 1", "model.deep.x", Some("x")),
            ("[training]\noptimizer_args = { lr = -1.0 }", "optimizer.lr", Some("lr")),
            ("[training.optimizer_args]\nlr = -1.0", "optimizer.lr", Some("lr")),
            ("[model]\na = 1", "model.b", None),
            ("[model", "model.b", None),
            ("", "", None),
        ] {
            let range = key_range(text, &keys(argument));
            assert_eq!(range.map(|range| &text[range]), expected, "{text}");
        }
    }
}
