//! A federation of thousands of nodes in one process: the code of the researcher above messages, and
//! that of nodes below them. A file is dealt to the nodes by a rule, the strategy of the experiment
//! samples them, and nodes that are slow or drop out are drawn. Everything follows from one seed: not
//! from the number of threads, and not from a clock.

mod conditions;
mod crowd;
mod draw;
mod error;
mod labels;
mod partition;
mod shelf;
mod simulation;
mod split;

pub use conditions::{Conditions, RoundTime, Slow};
pub use crowd::SimulatedRound;
pub use error::Error;
pub use partition::{ClassCounts, Part, Partition};
pub use simulation::{NODES_MAX, Simulated, Simulation, SimulationOptions};
pub use split::Split;
