//! `monitor`: log lines and numbers for the people who run the plan.

use wasmtime::Result;

use crate::contract::AccessError;
use crate::event::Level;
use crate::host::Host;
use crate::request::Export;

impl Host {
    /// Writes a line to the log. Open everywhere.
    pub(crate) fn log_line(&mut self, level: Level, message: &str) -> Result<()> {
        self.enter()?;
        let line = self.gate.log(level, message);
        if level == Level::Error {
            self.last_error = Some(line);
        }
        Ok(())
    }

    /// Reports numbers about the newest batch.
    pub(crate) fn report_scalars(
        &mut self,
        values: Vec<(String, f64)>,
    ) -> Result<Result<(), AccessError>> {
        self.enter()?;
        if !matches!(self.export, Export::Train | Export::Validate) {
            return Ok(Err(AccessError::Closed));
        }
        Ok(self.gate.scalars(self.n_batches, values).then_some(()).ok_or(AccessError::Exhausted))
    }
}
