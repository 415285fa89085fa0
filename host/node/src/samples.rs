//! Requests and replies for tests.

use fedwasm_protocol::{
    Arguments, BlobRef, DataArgs, LimitArgs, Mode, RoundReply, RoundRequest, TrainingArgs,
};

/// A round of training on dataset `d`.
pub(crate) fn round_request() -> RoundRequest {
    RoundRequest {
        mode: Mode::Train,
        experiment_id: "e".parse().unwrap(),
        round: 1,
        rounds: 1,
        dataset_id: "d".parse().unwrap(),
        plan: BlobRef::of(b"plan"),
        params: BlobRef::of(b"params"),
        params_inline: None,
        data: DataArgs::of("y"),
        training: TrainingArgs::parse(toml::from_str("epochs = 1").unwrap()).unwrap(),
        model: Arguments::new(),
        aggregator: Arguments::new(),
        state_id: None,
        kept_state_ids: Vec::new(),
        wide_inputs: None,
        aux_shared: None,
        aux_own: None,
        scales: None,
        secagg: None,
        strict: false,
        limits: LimitArgs::default(),
    }
}

/// The result of a round.
pub(crate) fn round_reply() -> RoundReply {
    RoundReply {
        params: Some(BlobRef::of(b"trained")),
        device: "cpu".into(),
        n_samples: 8,
        n_steps: 1,
        train_loss: Some(0.5),
        ..RoundReply::default()
    }
}
