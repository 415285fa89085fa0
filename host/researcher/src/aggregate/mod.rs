//! How the updates of a round become one model.

mod fedavg;

pub(crate) use fedavg::fedavg;
