//! What a graph is.

use alloc::string::String;
use alloc::vec::Vec;

use crate::number::codes;
use crate::{FunctionKind, ModuleKind, Number};

/// A training plan as calls of functions and modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The plan's name: `[a-z0-9_-]`, at most 64 bytes.
    pub name: String,
    /// The plan's semantic version.
    pub version: String,
    /// The author's description.
    pub doc: String,
    /// What predictions mean.
    pub task: Task,
    /// The model arguments.
    pub arguments: Vec<Argument>,
    /// Inputs of a batch, at least one.
    pub inputs: Vec<Data>,
    /// Targets of a batch.
    pub targets: Vec<Data>,
    /// Parts of the model, in the order of their parameters and of initial draws.
    pub members: Vec<Member>,
    /// Initial values of parameters by full name, such as "net.0.weight": float32, little-endian,
    /// row-major. Others are drawn.
    pub values: Vec<(String, Vec<u8>)>,
    /// How parameters are moved.
    pub optimizer: Optimizer,
    /// Source files, for [`Place`]s.
    pub files: Vec<String>,
    /// What the plan does, each role at most once.
    pub functions: Vec<(Role, Function)>,
}

/// What predictions mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Scores of classes.
    Classification,
    /// Real numbers.
    Regression,
    /// Something else, by name.
    Other(String),
}

/// A model argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name: `hidden` is announced as `model.hidden`.
    pub name: String,
    /// The kind of its value.
    pub kind: ArgumentKind,
    /// What it is when nobody gives it.
    pub default: Default,
    /// What it is for, a sentence.
    pub doc: String,
}

codes! {
    /// A kind of argument.
    ArgumentKind {
        /// A whole number, at least 1.
        0 Size "size",
        /// A whole number.
        1 Integer "integer",
        /// A real number.
        2 Real "real",
        /// A truth value.
        3 Boolean "boolean",
        /// A text.
        4 Text "text",
        /// A list of whole numbers.
        5 Integers "integers",
        /// A list of real numbers.
        6 Reals "reals",
        /// A list of texts.
        7 Texts "texts",
    }
}

/// What an argument is when nobody gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Default {
    /// It must be given.
    Required,
    /// The number of input columns of the dataset.
    InputColumns,
    /// The number of classes of the dataset's target.
    TargetClasses,
    /// This value.
    Value(Value),
}

/// A value of an argument or, in a call, of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// A truth value.
    Boolean(bool),
    /// A text.
    Text(String),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Real numbers.
    Reals(Vec<f64>),
    /// Texts.
    Texts(Vec<String>),
}

codes! {
    /// A type of elements.
    Dtype {
        /// Float32.
        0 F32 "float32",
        /// Float64.
        1 F64 "float64",
        /// Int64.
        2 I64 "int64",
        /// Truth values.
        3 Bool "bool",
    }
}

/// An input or a target of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// The shape of a row.
    pub shape: Vec<Number>,
}

/// A part of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The path to it, such as "net.0": its parameters are `net.0.weight` and so on.
    pub path: String,
    /// What it is.
    pub kind: MemberKind,
    /// Whether training leaves its parameters as they are.
    pub is_frozen: bool,
    /// Whether its parameters stay at the node.
    pub is_local: bool,
}

/// What a part of the model is.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberKind {
    /// A module of the table.
    Module {
        /// Which.
        kind: ModuleKind,
        /// What it is made with.
        attributes: Vec<Attribute>,
    },
    /// A parameter whose full name is the member's path.
    Parameter {
        /// Lengths of its axes.
        shape: Vec<Number>,
        /// What it starts from.
        init: Init,
        /// Whether no gradient moves it.
        is_buffer: bool,
    },
}

/// What a parameter starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// One value.
    Full(Number),
    /// Draws from U(-bound, bound).
    Uniform(Number),
    /// Draws from the normal distribution around 0 with this standard deviation.
    Normal(Number),
}

codes! {
    /// An optimizer.
    OptimizerKind {
        /// Stochastic gradient descent.
        0 Sgd "sgd",
        /// Adam.
        1 Adam "adam",
        /// Adam with decoupled weight decay.
        2 AdamW "adamw",
        /// Adagrad.
        3 Adagrad "adagrad",
        /// RMSprop.
        4 RmsProp "rmsprop",
    }
}

/// How parameters are moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// By which rule.
    pub kind: OptimizerKind,
    /// The author's defaults of its arguments, such as ("lr", 0.05) for `optimizer.lr`.
    pub defaults: Vec<(String, Value)>,
}

codes! {
    /// What a function of a plan is for.
    Role {
        /// Inputs and targets to the mean loss of a batch.
        0 TrainingStep "training_step",
        /// Inputs to scores [rows, classes or outputs].
        1 Predict "predict",
        /// Inputs and targets to the mean loss of a held-out batch; that of training if there is none.
        2 TestingStep "testing_step",
        /// Inputs and targets to scalars by name, of a held-out batch.
        3 Metrics "metrics",
        /// Inputs and targets to sums over the rows of a batch, by the name of a parameter, whose
        /// shape they have.
        4 Statistics "statistics",
    }
}

/// Calls in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The calls.
    pub nodes: Vec<Node>,
    /// What it gives, by name.
    pub outputs: Vec<(String, NodeId)>,
}

/// The place of a node in its function.
pub type NodeId = u32;

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Of what.
    pub call: Call,
    /// What goes in: earlier nodes. Of a node that gives several tensors, it is the first.
    pub inputs: Vec<NodeId>,
    /// What it is told beside, in the order of the table; those at the end may be left out.
    pub attributes: Vec<Attribute>,
    /// Where the author wrote it.
    pub place: Option<Place>,
    /// Dtype and shape as the tracer saw them, such as "float32 [rows, hidden]": the author's word.
    pub kind: Option<String>,
}

/// A line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of [`Graph::files`].
    pub file: u16,
    /// From 1.
    pub line: u32,
}

/// What a node calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// An input of the batch.
    Input(u16),
    /// A target of the batch.
    Target(u16),
    /// The value of a parameter by full name.
    Value(String),
    /// A member that is a module.
    Module(u32),
    /// A function of the table.
    Function(FunctionKind),
    /// Which of the tensors that its one input gives.
    Output(u8),
}

/// What a call is told beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// Nothing: the default.
    None,
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// A number.
    Number(Number),
    /// Numbers.
    Numbers(Vec<Number>),
    /// The value of a boolean, text or list argument.
    Argument(u32),
}
