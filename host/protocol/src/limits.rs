//! The resources that a plan may use at a node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Fields;

/// The most time of `describe`, in milliseconds.
pub const DESCRIBE_MS_MAX: u64 = 1_000;
/// The most bytes of memory of `describe`.
pub const DESCRIBE_BYTES_MAX: usize = 64 << 20;
/// The most time of `declare`, in milliseconds: a plan that computes there
/// delays every caller who only asks for its shapes. Allocating a model of
/// a gigabyte takes about a second.
pub const DECLARE_MS_MAX: u64 = 30_000;

/// The most threads of one call.
pub const THREADS_MAX: usize = 64;

/// Receipts of one thread are read by programs that know no other number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(threads: &usize) -> bool {
    *threads == 1
}

/// Makes the table of limits, so that each exists once: its name, its
/// default and its meaning, for the node (all have values) and for an
/// experiment (which may lower some).
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// The resources that a plan may use: the node operator sets them (`[limits]` of
        /// `node.toml`), and an experiment may lower them. Every limit is
        /// inclusive: a value at the limit is allowed, one above it is not.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// Fuel of one call, about one unit an instruction: a budget that is the
            /// same on every machine. None by default. Giving one asks for the strict profile.
            pub fuel_max: Option<u64>,
            /// Threads that the operations of its tensors are shared out to, from 1 to
            /// [`THREADS_MAX`]. Default 1. Results never depend on it.
            #[serde(skip_serializing_if = "is_one")]
            pub threads: usize,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ fuel_max: None, threads: 1 }
            }
        }

        /// Limits that an experiment asks for (`[limits]` of its file). A limit that is
        /// absent stays as each node has it.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitArgs {
            $(
                /// As [`Limits`] says.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )+
            /// As [`Limits`] says.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub fuel_max: Option<u64>,
            /// As [`Limits`] says.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub threads: Option<usize>,
        }

        impl Limits {
            /// These limits, replaced by those that are `asked` for: for the machine of the person
            /// who asks.
            pub fn with(&self, asked: &LimitArgs) -> Self {
                Self {
                    $($name: asked.$name.unwrap_or(self.$name),)+
                    fuel_max: asked.fuel_max.or(self.fuel_max),
                    threads: asked.threads.unwrap_or(self.threads),
                }
            }

            /// The lower of both, limit by limit.
            pub fn lowered(&self, asked: &LimitArgs) -> Self {
                let lower = |own: Option<u64>, asked: Option<u64>| match (own, asked) {
                    (Some(own), Some(asked)) => Some(own.min(asked)),
                    (own, asked) => own.or(asked),
                };
                Self {
                    $($name: asked.$name.map_or(self.$name, |asked| asked.min(self.$name)),)+
                    fuel_max: lower(self.fuel_max, asked.fuel_max),
                    threads: asked.threads.map_or(self.threads, |asked| asked.min(self.threads)),
                }
            }
        }

        impl LimitArgs {
            /// Reads the `[limits]` of a file; mistakes stay in `fields`.
            pub fn read(fields: &mut Fields) -> Self {
                Self {
                    $($name: fields.whole(stringify!($name), 0).map(|n| n as $type),)+
                    fuel_max: fields.whole("fuel_max", 0),
                    threads: fields
                        .whole_until("threads", 1, THREADS_MAX as u64)
                        .map(|n| n as usize),
                }
            }
        }
    };
}

limits! {
    /// Bytes of all its memories together, in one call. Default 1 GiB. A plan of
    /// the SDK takes about four times its parameters to train: values, gradients,
    /// the optimizer's state, and a batch in transit.
    memory_bytes_max: usize = 1 << 30;
    /// Elements of all its tables together. Default 100,000.
    table_elements_max: usize = 100_000;
    /// Wall-clock time of one call, in milliseconds. Default one hour.
    time_ms_max: u64 = 3_600_000;
    /// Wall-clock time of compiling it, in milliseconds. Default two minutes;
    /// a plan in Python takes 14 s.
    compile_ms_max: u64 = 120_000;
    /// Bytes that compiling it may take. Default 4 GiB.
    compile_bytes_max: u64 = 4 << 30;
    /// Calls of the host in one call of the plan. Default 100 million.
    host_calls_max: u64 = 100_000_000;
    /// Bytes that it passes to the host in one call of the host: a chunk of a
    /// tensor and its metadata. Default 32 MiB.
    host_call_bytes_max: usize = 32 << 20;
    /// Handles of resources that live at once. The contract has none; what a
    /// plan defines for itself counts. Default 1,000.
    handles_max: usize = 1_000;
    /// Log lines; further ones are dropped. Default 1,000.
    log_lines_max: u64 = 1_000;
    /// Bytes of one log line; longer ones are cut. Default 4 KiB.
    log_line_bytes_max: usize = 4 << 10;
    /// Bytes of all log lines together; further lines are dropped. Default 1 MiB.
    log_bytes_max: usize = 1 << 20;
    /// Scalars that are passed on; further ones are dropped. Default 1,000,000.
    scalars_max: u64 = 1_000_000;
    /// Bytes of all predictions together. Default 256 MiB.
    prediction_bytes_max: usize = 256 << 20;
    /// Bytes of all tensors that it declares: those that a round can return.
    /// Default 1 GiB.
    declared_bytes_max: usize = 1 << 30;
}

impl Limits {
    /// Limits of `describe`, which knows no arguments and so has nothing to make
    /// room for: [`DESCRIBE_MS_MAX`] and [`DESCRIBE_BYTES_MAX`], or less.
    pub fn of_describe(&self) -> Self {
        Self {
            memory_bytes_max: self.memory_bytes_max.min(DESCRIBE_BYTES_MAX),
            time_ms_max: self.time_ms_max.min(DESCRIBE_MS_MAX),
            ..self.clone()
        }
    }

    /// Limits of `declare`, which may make the whole model to know its shapes
    /// (the SDK does): all the memory of a call, and [`DECLARE_MS_MAX`] or less.
    pub fn of_declare(&self) -> Self {
        Self { time_ms_max: self.time_ms_max.min(DECLARE_MS_MAX), ..self.clone() }
    }

    /// Threads within their bounds.
    pub fn threads(&self) -> usize {
        self.threads.clamp(1, THREADS_MAX)
    }

    /// The wall-clock time of one call, a year at most: a clock can show that.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms_max).min(Duration::from_secs(365 * 24 * 3_600))
    }

    /// The wall-clock time of compiling, a year at most.
    pub fn compile_time(&self) -> Duration {
        Duration::from_millis(self.compile_ms_max).min(Duration::from_secs(365 * 24 * 3_600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_lowers_and_never_raises() {
        let own = Limits { time_ms_max: 1_000, fuel_max: Some(5), ..Limits::default() };
        let asked = LimitArgs {
            time_ms_max: Some(2_000),
            memory_bytes_max: Some(1 << 20),
            fuel_max: Some(9),
            ..LimitArgs::default()
        };
        let both = own.lowered(&asked);
        assert_eq!((both.time_ms_max, both.memory_bytes_max), (1_000, 1 << 20));
        assert_eq!(both.fuel_max, Some(5));
        assert_eq!(Limits::default().lowered(&asked).fuel_max, Some(9));
        assert_eq!(own.lowered(&LimitArgs::default()), own);
    }
}
