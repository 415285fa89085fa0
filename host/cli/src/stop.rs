//! Signals to stop: Ctrl-C, a termination signal, or a parent that is gone.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Turns true when the command must stop. With `with_stdin` also when standard input ends: it
/// closes when the parent dies, for any reason.
pub(crate) fn stop_signal(with_stdin: bool) -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let on_signal = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = on_signal.send(true);
    });
    if with_stdin {
        // A thread of its own, since a read cannot be cancelled.
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = sender.send(true);
        })?;
    }
    Ok(receiver)
}

/// Resolves when the signal turns true.
pub(crate) async fn stopped(mut signal: watch::Receiver<bool>) {
    if signal.wait_for(|stop| *stop).await.is_err() {
        // The sender is gone.
        std::future::pending::<()>().await;
    }
}

/// Calls `then` with 1 at the first signal to stop, with 2 at the second, and so on.
pub(crate) fn on_each_stop(mut then: impl FnMut(u32) + Send + 'static) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for nth in 1.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            then(nth);
        }
    });
    Ok(())
}
