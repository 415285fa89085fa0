//! Noise of the aggregator: its seed, anew or from the directory of an experiment that resumes.

use std::path::Path;

use fedwasm_record::{Error as RecordError, NOISE_SEED, NoiseSeed, noised};

use crate::{Aggregator, Breakpoint, Error, ExperimentFile};

/// The seed of the noise, if there is to be some.
pub(crate) fn noise_seed(
    file: &ExperimentFile,
    out: Option<&Path>,
    breakpoint: Option<&Breakpoint>,
) -> Result<Option<NoiseSeed>, Error> {
    if file.privacy.is_none() {
        return Ok(None);
    }
    let of_breakpoint = breakpoint.and_then(|breakpoint| breakpoint.history.noise_sha256);
    if let (Some(commitment), Some(dir)) = (of_breakpoint, out) {
        let seed = NoiseSeed::read(dir)?.filter(|seed| seed.commitment() == commitment);
        let reason =
            format!("its breakpoint needs the seed of its noise, which {NOISE_SEED} has not");
        let path = dir.to_owned();
        return Ok(Some(seed.ok_or(RecordError::Breakpoint { path, reason })?));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::Internal { reason: error.to_string() })?;
    Ok(Some(NoiseSeed::new(seed)))
}

/// The aggregator as the file has it: of sums under secure aggregation, with noise around it.
pub(crate) fn dressed(
    file: &ExperimentFile,
    seed: Option<&NoiseSeed>,
    aggregator: Box<dyn Aggregator>,
) -> Result<Box<dyn Aggregator>, Error> {
    let mut aggregator = match file.privacy.as_ref().zip(seed) {
        Some((args, seed)) => noised(args, seed, aggregator)?,
        None => aggregator,
    };
    if file.secagg.is_some() {
        aggregator.expect_sums()?;
    }
    Ok(aggregator)
}
