//! What one call of a plan may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{ResourceLimiter, Result};

/// What one call of a plan may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of all its memories together. Default 1 GiB.
    pub memory_bytes_max: usize,
    /// Elements of all its tables together. Default 100,000.
    pub table_elements_max: usize,
    /// Wall-clock time in milliseconds. Default one hour.
    pub time_ms_max: u64,
    /// Log lines; further ones are counted and dropped. Default 1,000.
    pub log_lines_max: u64,
    /// Bytes of one log line; longer ones are cut. Default 4 KiB.
    pub log_line_bytes_max: usize,
    /// Scalars that are passed on; further ones are dropped. Default 1,000,000.
    pub scalars_max: u64,
    /// Bytes of all predictions together. Default 256 MiB.
    pub prediction_bytes_max: usize,
    /// Bytes of all tensors that it declares. Default 1 GiB.
    pub declared_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            table_elements_max: 100_000,
            time_ms_max: 3_600_000,
            log_lines_max: 1_000,
            log_line_bytes_max: 4 << 10,
            scalars_max: 1_000_000,
            prediction_bytes_max: 256 << 20,
            declared_bytes_max: 1 << 30,
        }
    }
}

impl Limits {
    /// Limits of the pure calls, `describe` and `declare`, which have nothing
    /// to compute: one second and 64 MiB, or less.
    pub(crate) fn pure(&self) -> Self {
        Self {
            memory_bytes_max: self.memory_bytes_max.min(64 << 20),
            time_ms_max: self.time_ms_max.min(1_000),
            ..self.clone()
        }
    }

    /// The wall-clock time, a year at most: a clock can show that.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms_max).min(Duration::from_secs(365 * 24 * 3_600))
    }
}

/// Counts what a store holds; wasmtime asks before anything grows.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    /// Whether growth was ever refused: the reason for a panic that follows.
    pub(crate) refused: bool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements: 0,
            table_elements_max: limits.table_elements_max,
            refused: false,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.refused = true;
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.table_elements_max {
            self.refused = true;
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    /// Instances of core modules. A Rust plan has 3, a Python plan 20.
    fn instances(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        8
    }

    fn tables(&self) -> usize {
        64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let limits = Limits { memory_bytes_max: 100, ..Limits::default() };
        let mut meter = Meter::new(&limits);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        assert!(!meter.refused);
        assert!(!meter.memory_growing(40, 41, None).unwrap());
        assert!(meter.refused);
    }
}
