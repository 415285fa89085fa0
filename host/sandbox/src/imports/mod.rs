//! The functions that a plan can call, one file an interface. Every one counts as a
//! call of the host, checks that it is open in the export that runs, and answers an
//! [`AccessError`](crate::contract::AccessError) as a value; an error of the engine ends
//! the call.

pub(crate) mod compute;
mod loader;
mod monitor;
mod predictions;
mod random;
mod store;

pub(crate) use predictions::are_scores;
