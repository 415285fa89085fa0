//! Why a round has no result.

use fedwasm_sandbox::{Described, FaultKind};

/// Why a round has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern chooses no parameters to start from.
    #[error(
        "`init_only` has `{pattern}`, which matches no parameter of the plan that can start so; {hint}"
    )]
    InitPattern {
        /// The pattern.
        pattern: String,
        /// The parameters that there are.
        hint: String,
    },
    /// A parameter cannot start from those that are given.
    #[error("the parameter `{name}`, which `init_only` chooses, {reason}")]
    InitTensor {
        /// Its name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Statistics of columns that cannot be told, or not be put together.
    #[error("{reason}")]
    Statistics {
        /// Why not.
        reason: String,
    },
    /// The work was no longer wanted.
    #[error("cancelled")]
    Cancelled,
    /// The data set.
    #[error(transparent)]
    Dataset(#[from] fedwasm_dataset::Error),
    /// The plan, its arguments or the parameters.
    #[error(transparent)]
    Sandbox(#[from] fedwasm_sandbox::Error),
    /// The number of columns differs from the plan's.
    #[error(
        "the plan takes {expected} input columns, the dataset gives {got}\n\
         help: name the columns with `inputs` under [data], or leave out the model argument that \
         counts them: most plans take it from the data"
    )]
    Inputs {
        /// Columns that the plan declares.
        expected: u64,
        /// Columns of the run.
        got: usize,
    },
    /// The number of values differs for a target, or for one of several inputs.
    #[error("the plan takes {expected} values a row as {what} `{name}`, the dataset gives {got}")]
    Part {
        /// `input` or `target`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Values that the plan declares.
        expected: u64,
        /// Values of the run.
        got: usize,
    },
    /// An image has another shape than the plan takes.
    #[error("the plan takes `{name}` as {expected:?}, the dataset's `{field}` is {got:?}")]
    Shape {
        /// The input or target.
        name: String,
        /// The shape that the plan declares.
        expected: Vec<u64>,
        /// The field.
        field: String,
        /// Its shape.
        got: Vec<u64>,
    },
    /// One of several inputs or targets has no field.
    #[error(
        "the plan takes the {what}s {}, and no field is selected for `{name}`; give a field that \
         name, or write `{name} = [\"COLUMN\"]` in the table `{}` of [data]",
        quoted(all),
        if *what == "input" { "inputs" } else { "target" }
    )]
    NoField {
        /// `input` or `target`.
        what: &'static str,
        /// Its name.
        name: String,
        /// All that the plan takes.
        all: Vec<String>,
    },
    /// Fields are selected for an input or target that the plan does not take.
    #[error(
        "[data] selects fields for the {what} `{name}`, but the plan takes the {what}s {}",
        quoted(all)
    )]
    NotTaken {
        /// `input` or `target`.
        what: &'static str,
        /// Its name.
        name: String,
        /// All that the plan takes.
        all: Vec<String>,
    },
    /// A column that the plan depends on is absent.
    #[error("the plan needs the column `{column}`, which is not among the inputs")]
    MissingColumn {
        /// The column.
        column: String,
    },
    /// Tensors that a node kept, or that a researcher sent, differ from the plan's declaration.
    #[error("{what}: {source}")]
    Tensors {
        /// Which tensors.
        what: &'static str,
        /// The difference.
        source: fedwasm_params::Error,
    },
    /// The split leaves a part empty.
    #[error("{rows} rows with test_ratio {test_ratio} leave no rows to {part}")]
    EmptyPart {
        /// Rows of the dataset.
        rows: u64,
        /// The share that is held out.
        test_ratio: f64,
        /// The part that would be empty.
        part: &'static str,
    },
    /// The fold does not exist.
    #[error(
        "fold {index} of {count} does not exist for {rows} rows; use 2 to {} folds, and no more \
         folds than rows",
        crate::FOLDS_MAX
    )]
    Folds {
        /// Which fold.
        index: u32,
        /// How many folds.
        count: u32,
        /// Rows of the dataset.
        rows: u64,
    },
    /// Rows of a dataset that is read block by block are drawn in each block by itself.
    #[error(
        "the dataset is larger than `memory_mib` ({memory_mib} MiB) and read block by block, but \
         the split `{split}` looks at all rows at once; raise `memory_mib` of [data], at most {}, \
         or leave `split` out",
        fedwasm_protocol::MEMORY_MIB_MAX
    )]
    SplitByBlock {
        /// The split.
        split: fedwasm_protocol::Split,
        /// Up to how many MiB it would be kept in memory.
        memory_mib: u64,
    },
    /// The target has no classes to keep the shares of.
    #[error(
        "`split = \"stratified\"` keeps the shares of classes, but the target is not one column \
         of classes; use \"random\", or a split by group or time"
    )]
    SplitTarget,
    /// The column by which rows are split has no number in each row.
    #[error("`{column}`, by which rows are split, does not have one number in each row")]
    SplitColumn {
        /// The column.
        column: String,
    },
    /// There are fewer groups than folds.
    #[error("`{column}` has {groups} different values, too few for {folds} folds of whole groups")]
    Groups {
        /// The column.
        column: String,
        /// Its different values.
        groups: usize,
        /// How many folds are wanted.
        folds: u32,
    },
    /// A fold by time has no rows on one side.
    #[error(
        "fold {index} of {count} by `{column}` has no rows before those that it holds out, or none \
         to hold out: too many rows are of one time; use fewer folds"
    )]
    Times {
        /// The column.
        column: String,
        /// Which fold.
        index: u32,
        /// How many folds.
        count: u32,
    },
    /// Nothing is held out.
    #[error("no rows are held out; set `test_ratio` above 0")]
    NothingHeldOut,
    /// Rows that cannot be changed so.
    #[error("[data.augment]: {reason}")]
    Augment {
        /// Why not.
        reason: String,
    },
    /// Rows cannot be drawn by class.
    #[error(
        "`sampling = \"balanced\"` draws rows by class, but {}",
        if *in_blocks { BY_BLOCK } else { NO_CLASSES }
    )]
    Sampling {
        /// Whether the dataset is read block by block; otherwise the target has no classes.
        in_blocks: bool,
    },
    /// The weights of classes cannot be computed.
    #[error(
        "`class_weights = \"balanced\"` counts the training rows of each class, but {}; or give a \
         list of weights",
        if *in_blocks { BY_BLOCK } else { NO_CLASSES }
    )]
    ClassWeights {
        /// Whether the dataset is read block by block; otherwise the target has no classes.
        in_blocks: bool,
    },
    /// A batch is larger than a plan can take.
    #[error(
        "a batch of {rows} rows has {bytes} bytes, at most {max} can be passed to the plan; lower \
         batch_size"
    )]
    BatchTooLarge {
        /// Rows of a batch.
        rows: u32,
        /// Bytes of its inputs.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A statistic of no values.
    #[error(
        "column `{column}` has no value in the training rows to impute missing ones by; give a \
         value as `impute` in the column's rule"
    )]
    NothingToImpute {
        /// The column.
        column: String,
    },
    /// The scales of another dataset.
    #[error("the preprocessing has no scale for column `{column}`, or nothing for missing values")]
    Preprocessing {
        /// The column.
        column: String,
    },
}

const NO_CLASSES: &str = "the target is not one column of classes";
const BY_BLOCK: &str =
    "the dataset is larger than `memory_mib` and read block by block; raise `memory_mib` of [data]";

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A metric that the plan does not announce, and how a plan would.
pub(crate) fn not_announced(name: &str) -> String {
    format!(
        "the metric `{name}` is not announced in `describe`; a plan with the SDK lists it in \
         `const METRICS`, others depend on the host feature `metric/{name}`"
    )
}

/// The plan declares something that this version does not offer.
pub(crate) fn not_offered(plan: &Described, what: impl std::fmt::Display) -> Error {
    let text = format!("it declares {what}, which this version does not offer");
    fedwasm_sandbox::Error::from(plan.fault(FaultKind::Refused, text)).into()
}
