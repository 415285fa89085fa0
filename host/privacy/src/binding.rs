//! The facts of a round that masks are bound to, from its request.

use fedwasm_protocol::{
    Arguments, DataArgs, Digest, LimitArgs, Mode, Payload, RoundRequest, TrainingArgs,
    encode_content,
};
use serde::Serialize;

use crate::{Binding, Error, Layout};

/// The number of a round among those that have pads: training and scoring of one round each have
/// their own.
pub fn pad_round(round: u32, mode: Mode) -> u64 {
    u64::from(round) * 2 + u64::from(mode == Mode::Validate)
}

/// The arguments that decide about an update, and are equal at all nodes. The experiment and the
/// context are not among them: the same run in another one is the same update.
#[derive(Serialize)]
struct Common<'a> {
    mode: Mode,
    round: u32,
    rounds: u32,
    data: &'a DataArgs,
    wide_inputs: Option<Digest>,
    training: &'a TrainingArgs,
    model: &'a Arguments,
    aggregator: &'a Arguments,
    aux_shared: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<Digest>,
    strict: bool,
    limits: &'a LimitArgs,
}

/// Returns the facts of a round.
///
/// * `request` — as it was sent: names of inputs that came as a blob are not in it.
/// * `layout` — of its vectors, of 64-bit lanes.
///
/// # Errors
/// [`Error::Encoding`].
pub fn binding(request: &RoundRequest, layout: &Layout) -> Result<Binding, Error> {
    let digest = |payload: &Option<Payload>| payload.as_ref().map(|payload| payload.blob.sha256);
    let common = Common {
        mode: request.mode,
        round: request.round,
        rounds: request.rounds,
        data: &request.data,
        wide_inputs: digest(&request.wide_inputs),
        training: &request.training,
        model: &request.model,
        aggregator: &request.aggregator,
        aux_shared: digest(&request.aux_shared),
        scales: digest(&request.scales),
        strict: request.strict,
        limits: &request.limits,
    };
    Ok(Binding {
        round: pad_round(request.round, request.mode),
        plan: request.plan.sha256,
        params: request.params.sha256,
        arguments: Digest::of(&encode_content(&common)?),
        layout: layout.digest::<u64>(),
    })
}
