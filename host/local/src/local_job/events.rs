//! Events of training: reported, kept, and written for TensorBoard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fedwasm_protocol::{Evaluation, NodeId};
use fedwasm_record::{Steps, ValidationRecord};
use fedwasm_report::TensorBoard;
use fedwasm_training::RoundEvent;

use super::LocalEvent;

/// An event of training, or scores between two pieces of it.
pub(super) enum Told {
    Round(RoundEvent),
    Scored(ValidationRecord, bool),
}

/// Passes events on, keeps the losses, and writes those that are worth it for TensorBoard, until
/// that fails: it is for people, never a result.
pub(super) fn collect<E: FnMut(LocalEvent) + Send + 'static>(
    mut events: E,
    steps: Arc<Mutex<Steps>>,
    tensorboard: Arc<Mutex<Option<TensorBoard>>>,
    node: &NodeId,
) -> impl FnMut(Told) + Send + use<E> {
    let node = node.clone();
    move |event| match event {
        Told::Scored(record, is_best) => {
            let mut board = tensorboard.lock().unwrap_or_else(PoisonError::into_inner);
            write_scores(&mut board, &node, record.step, &record.evaluation);
            events(LocalEvent::Validated { record, is_best });
        }
        Told::Round(RoundEvent::Log(level, line)) => events(LocalEvent::Log(level, line)),
        Told::Round(RoundEvent::Step { step, steps_max, values, is_logged, .. }) => {
            let loss = values.iter().find(|(name, _)| name == "loss").map(|(_, loss)| *loss);
            if let Some(loss) = loss {
                steps.lock().unwrap_or_else(PoisonError::into_inner).push(step, loss);
            }
            let mut board = tensorboard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = board.as_mut().filter(|_| is_logged) {
                let now = SystemTime::now();
                let mut written = values
                    .iter()
                    .map(|(name, value)| open.training(&node, step, name, *value, now));
                if written.any(|written| written.is_err()) {
                    *board = None;
                }
            }
            events(LocalEvent::Step { step, steps_max, loss });
        }
    }
}

/// Writes scores for TensorBoard, as long as that does not fail.
pub(super) fn write_scores(
    board: &mut Option<TensorBoard>,
    node: &NodeId,
    batches: u64,
    scores: &Evaluation,
) {
    let at = u32::try_from(batches).unwrap_or(u32::MAX);
    let Some(open) = board.as_mut() else { return };
    if open.on_local_updates(node, at, &scores.metrics, SystemTime::now()).is_err() {
        *board = None;
    }
}
