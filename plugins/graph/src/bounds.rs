//! How large a graph may be.

/// Bytes of a graph without the initial values of parameters.
pub const GRAPH_BYTES_MAX: usize = 1 << 20;
/// Nodes of all functions together.
pub const NODES_MAX: usize = 1 << 16;
/// Members.
pub const MEMBERS_MAX: usize = 4096;
/// Arguments; hosts take 128 of a plan, those of the SDK among them.
pub const ARGUMENTS_MAX: usize = 64;
/// Inputs or targets of a batch.
pub const DATA_MAX: usize = 64;
/// Tensors that go into one call, as of an operation of the host.
pub const INPUTS_MAX: usize = 64;
/// Numbers in one list, such as the elements of a constant.
pub const NUMBERS_MAX: usize = 4096;
/// Everything that takes memory of its own, in all: nodes, numbers, texts, entries of lists.
pub const ITEMS_MAX: usize = 1 << 19;
/// Bytes of a text.
pub const TEXT_BYTES_MAX: usize = 256;
/// Bytes of the description of a plan.
pub const DOC_BYTES_MAX: usize = 4096;
/// How deep numbers lie within numbers.
pub const DEPTH_MAX: usize = 32;
/// Axes of a tensor.
pub const RANK_MAX: usize = 8;
/// Names of source files.
pub const FILES_MAX: usize = 256;
/// Initial values of parameters, by name.
pub const VALUES_MAX: usize = 1 << 13;
/// Metrics of a plan's own.
pub const METRICS_MAX: usize = 16;
/// What one function gives.
pub const OUTPUTS_MAX: usize = 256;
