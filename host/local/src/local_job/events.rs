//! Events of training: reported, kept, and written for TensorBoard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fedwasm_protocol::NodeId;
use fedwasm_record::Steps;
use fedwasm_report::TensorBoard;
use fedwasm_training::RoundEvent;

use super::LocalEvent;

/// Passes events on, keeps the losses, and writes those that are worth it for TensorBoard, until
/// that fails: it is for people, never a result.
pub(super) fn collect<E: FnMut(LocalEvent) + Send + 'static>(
    mut events: E,
    steps: Arc<Mutex<Steps>>,
    tensorboard: Arc<Mutex<Option<TensorBoard>>>,
    node: &NodeId,
) -> impl FnMut(RoundEvent) + Send + use<E> {
    let node = node.clone();
    move |event| match event {
        RoundEvent::Log(level, line) => events(LocalEvent::Log(level, line)),
        RoundEvent::Step { step, steps_max, values, is_logged, .. } => {
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
