//! Counts the memory that a call holds.

use fedwasm_protocol::Limits;
use wasmtime::{ResourceLimiter, Result};

/// Counts the memory of a store; wasmtime asks before anything grows.
#[derive(Debug)]
pub(crate) struct Meter {
    /// All memories together; they never shrink, so this is the peak.
    pub(crate) memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    /// The last refusal: the reason for a panic that follows.
    pub(crate) refused: Option<Refused>,
}

/// A refusal to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    Tensors,
    Table,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements: 0,
            table_elements_max: limits.table_elements_max,
            refused: None,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.refused = Some(Refused::Memory);
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.table_elements_max {
            self.refused = Some(Refused::Table);
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    /// The limiter agreed, but the system did not: a worker at its own limit.
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.refused = Some(Refused::Memory);
        Ok(())
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.refused = Some(Refused::Table);
        Ok(())
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
        assert_eq!(meter.refused, None);
        assert!(!meter.memory_growing(40, 41, None).unwrap());
        assert_eq!(meter.refused, Some(Refused::Memory));
    }
}
