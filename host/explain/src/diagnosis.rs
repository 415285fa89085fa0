//! Where a plan's author should look, and what to do, for the errors that an author meets.

use fedwasm_protocol::{Mistake, Place};
use fedwasm_sandbox::{ArgumentError, Error, Fault, FaultKind};

/// The place and the cure, beside the message.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    /// A place in sources, as `src/lib.rs:44:24`.
    pub(crate) place: Option<String>,
    /// The cure.
    pub(crate) help: Option<String>,
    /// The arguments that are wrong.
    pub(crate) arguments: Vec<Mistake>,
}

impl Diagnosis {
    fn help(text: impl Into<String>) -> Self {
        Self { help: Some(text.into()), ..Self::default() }
    }
}

/// Looks at an error of the sandbox.
pub(crate) fn of(error: &Error) -> Diagnosis {
    match error {
        Error::Fault(fault) => {
            let message = error.to_string();
            let places = refused(fault).into_iter();
            let arguments = places.map(|place| Mistake { place, message: message.clone() });
            Diagnosis { arguments: arguments.collect(), ..of_fault(fault) }
        }
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
            let mistake = |error: &ArgumentError| {
                let place = match error {
                    ArgumentError::Unknown { name, .. } => Place::Key(field(name)),
                    ArgumentError::Missing { name, .. } => {
                        let field = field(name);
                        Place::Value(field.split_once('.').map_or("", |(table, _)| table).into())
                    }
                    ArgumentError::Kind { name, .. } => Place::Value(field(name)),
                    _ => Place::File,
                };
                Mistake { place, message: error.to_string() }
            };
            let arguments = error.each().iter().map(mistake).collect();
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
        FaultKind::InvalidArgument => {
            Diagnosis::help("`fedwasm plan inspect` lists the arguments of a plan")
        }
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

/// Takes `src/lib.rs:44:24` out of the message of a panic.
fn source_place(detail: &str) -> Option<String> {
    let place = detail.split("panicked at ").nth(1)?.split([' ', '\n']).next()?;
    let place = place.trim_end_matches(':');
    let numbers = place.rsplitn(3, ':').take(2);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (place.contains(".rs:") && numbers.into_iter().all(all_digits)).then(|| place.to_owned())
}

/// The places in a file that do not fit the data.
pub(crate) fn places(error: &fedwasm_training::Error) -> Vec<Place> {
    use fedwasm_dataset::Error as D;
    use fedwasm_training::Error as E;
    match error {
        E::Dataset(D::MissingColumn { column, .. } | D::UsedTwice { column, .. })
        | E::MissingColumn { column } => {
            vec![Place::Text { below: "data".into(), text: column.clone() }]
        }
        E::Dataset(
            D::Mismatch { column, .. }
            | D::MissingValue { column, .. }
            | D::TooManyValues { column, .. }
            | D::NoLogarithm { column, .. },
        )
        | E::NothingToImpute { column } => {
            vec![Place::Value(format!("data.columns.{column}"))]
        }
        E::Statistics { .. } => vec![Place::Value("data.standardize".into())],
        E::EmptyPart { .. } | E::NothingHeldOut => {
            vec![Place::Value("training.test_ratio".into())]
        }
        E::SplitByBlock { .. }
        | E::SplitTarget
        | E::SplitColumn { .. }
        | E::Groups { .. }
        | E::Times { .. } => vec![Place::Value("data.split".into())],
        E::BatchTooLarge { .. } => vec![Place::Value("training.loader_args.batch_size".into())],
        _ => Vec::new(),
    }
}

/// The argument that a plan refuses: the first word of what it says.
fn refused(fault: &Fault) -> Option<Place> {
    let name = fault.detail.split([' ', ':']).next()?.trim_matches('`');
    (fault.kind == FaultKind::InvalidArgument).then(|| Place::Value(field(name)))
}

/// The field that gives an argument: `model.x` is `x` of `[model]`, `optimizer.x` is `x` of
/// `optimizer_args` of `[training]`.
fn field(argument: &str) -> String {
    match argument.strip_prefix("optimizer.") {
        Some(rest) => format!("training.optimizer_args.{rest}"),
        None => argument.to_owned(),
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
        let memory =
            help(FaultKind::OutOfMemory, "its memory may have 1 bytes (`memory_bytes_max`)");
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
}
