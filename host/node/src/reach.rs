//! Broker and repository may start later than the node: a machine starts its services in any
//! order, and a hub can be away.

use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::Error;

/// The pause before it is tried again, which doubles, and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How often the log repeats that it still waits.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Tries `reach` until it succeeds or fails for good; none if `stop` resolves before.
///
/// # Errors
/// Those of `reach` that do not pass by themselves.
pub(crate) async fn reach<T, F: Future<Output = Result<T, Error>>>(
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    mut reach: impl FnMut() -> F,
) -> Result<Option<T>, Error> {
    let (mut pause, mut told) = (PAUSE, None::<Instant>);
    loop {
        let reached = tokio::select! {
            () = stop.as_mut() => return Ok(None),
            reached = reach() => reached,
        };
        let error = match reached {
            Err(Error::Transport(error)) if error.is_passing() => error,
            reached => return reached.map(Some),
        };
        if told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            tracing::warn!("{error}; waiting for it");
            told = Some(Instant::now());
        }
        tokio::select! {
            () = stop.as_mut() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn away() -> Error {
        let (url, reason) = ("http://x".to_owned(), "refused".into());
        fedwasm_transport::Error::RepositoryUnreachable { url, reason }.into()
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_what_does_not_is_told() {
        let mut never = pin!(std::future::pending());
        let mut n = 0;
        let reached = reach(&mut never, || {
            n += 1;
            std::future::ready(if n < 3 { Err(away()) } else { Ok(n) })
        });
        assert_eq!(reached.await.unwrap(), Some(3));
        let refused = || fedwasm_transport::Error::Repository {
            url: "http://x".into(),
            status: 409,
            text: "taken".into(),
        };
        let told = reach(&mut never, || std::future::ready(Err::<(), _>(refused().into()))).await;
        assert!(told.unwrap_err().to_string().contains("409"));
        let mut soon = pin!(tokio::time::sleep(Duration::from_millis(100)));
        let waits = reach(&mut soon, || std::future::ready(Err::<(), _>(away())));
        assert!(waits.await.unwrap().is_none());
    }
}
