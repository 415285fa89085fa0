//! Threads for measurements: started once, they wait for parts in a loop and then asleep.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use fedwasm_compute::kernels::Parallel;

/// Rounds of a waiting loop before a thread sleeps.
const ROUNDS: usize = 20_000;

type Part<'a> = &'a (dyn Fn(usize) + Sync);

#[derive(Default)]
struct Shared {
    /// Number of the operation at hand; it changes when there are parts.
    turn: AtomicUsize,
    parts: AtomicUsize,
    next: AtomicUsize,
    /// Helpers that have not said that they are through.
    busy: AtomicUsize,
    is_over: AtomicBool,
    part: Mutex<Option<usize>>,
    wake: Condvar,
    sleepers: AtomicUsize,
    call: Mutex<Option<Part<'static>>>,
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<std::thread::JoinHandle<()>>,
}

impl Shared {
    fn work(&self, part: Part) {
        let parts = self.parts.load(Ordering::Acquire);
        loop {
            let nth = self.next.fetch_add(1, Ordering::AcqRel);
            if nth >= parts {
                break;
            }
            part(nth);
        }
    }

    /// Waits until the turn is another one.
    fn wait(&self, seen: usize) {
        for _ in 0..ROUNDS {
            if self.turn.load(Ordering::Acquire) != seen {
                return;
            }
            std::hint::spin_loop();
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.part.lock().expect("no part panics");
        while self.turn.load(Ordering::SeqCst) == seen {
            guard = self.wake.wait(guard).expect("no part panics");
        }
        drop(guard);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn help(&self) {
        let mut seen = 0;
        loop {
            self.wait(seen);
            seen = self.turn.load(Ordering::Acquire);
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let part = *self.call.lock().expect("no part panics");
            if let Some(part) = part {
                self.work(part);
            }
            self.busy.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn begin(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.part.lock().expect("no part panics"));
            self.wake.notify_all();
        }
    }
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let helpers = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.help())
            })
            .collect();
        Self { shared, helpers }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.begin();
        self.helpers.drain(..).for_each(|helper| drop(helper.join()));
    }
}

impl Parallel for Pool {
    fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        // SAFETY: all helpers are through with it before this function returns.
        let lasting = unsafe { std::mem::transmute::<Part<'_>, Part<'static>>(part) };
        *shared.call.lock().expect("no part panics") = Some(lasting);
        shared.parts.store(parts, Ordering::Release);
        shared.next.store(0, Ordering::Release);
        shared.busy.store(self.helpers.len(), Ordering::Release);
        shared.begin();
        shared.work(part);
        let mut rounds = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            rounds += 1;
            // On a loaded machine the helper may wait for this very core.
            if rounds > ROUNDS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}
