//! Threads that the operations of tensors are shared out to: part i of an operation always to
//! thread i, so that a thread finds its rows in its cache. Waiting threads spin for a while and
//! then sleep. Results never depend on them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fedwasm_compute::kernels::Parallel;

/// Looks at an atomic number before a thread sleeps: some hundred microseconds.
const SPINS: usize = 20_000;
/// Bytes of the stack of a thread; kernels take a few KiB.
const STACK_BYTES: usize = 1 << 20;

/// The parts of an operation.
#[derive(Clone, Copy)]
struct Job {
    part: &'static (dyn Fn(usize) + Sync),
    parts: usize,
    /// Threads that it is shared out to, the caller among them.
    threads: usize,
}

/// What threads are told.
struct Board {
    job: Option<Job>,
    is_over: bool,
    /// Threads that sleep until the next job.
    asleep: usize,
}

struct Shared {
    board: Mutex<Board>,
    /// Jobs so far.
    jobs: AtomicU64,
    posted: Condvar,
    /// Threads that are not done with the job.
    left: AtomicUsize,
    /// Whether the caller sleeps until they are.
    is_awaited: AtomicBool,
    done: Condvar,
    has_panicked: AtomicBool,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for more jobs than `seen`; false when there are no more. The job is gone again if this
    /// thread has no part of it and is late.
    fn next(&self, seen: &mut u64) -> (bool, Option<Job>) {
        for _ in 0..SPINS {
            if self.jobs.load(Ordering::Acquire) != *seen {
                break;
            }
            std::hint::spin_loop();
        }
        let mut board = self.board();
        while self.jobs.load(Ordering::Acquire) == *seen {
            board.asleep += 1;
            board = self.posted.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.asleep -= 1;
        }
        *seen = self.jobs.load(Ordering::Acquire);
        (!board.is_over, board.job)
    }

    /// Tells the threads of a job, or that there are no more.
    fn post(&self, job: Option<Job>) {
        let mut board = self.board();
        board.is_over = job.is_none();
        board.job = job;
        self.jobs.fetch_add(1, Ordering::Release);
        if board.asleep > 0 {
            self.posted.notify_all();
        }
    }

    /// What thread `nth` does.
    fn serve(&self, nth: usize) {
        let mut seen = 0;
        loop {
            match self.next(&mut seen) {
                (false, _) => return,
                (true, Some(job)) if nth < job.threads => self.take_part(nth, job),
                _ => {}
            }
        }
    }

    fn take_part(&self, nth: usize, Job { part, parts, threads }: Job) {
        let run = || (nth..parts).step_by(threads).for_each(part);
        // The caller panics instead; this thread is needed for other operations.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            self.has_panicked.store(true, Ordering::SeqCst);
        }
        let is_last = self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last && self.is_awaited.load(Ordering::SeqCst) {
            let _board = self.board();
            self.done.notify_one();
        }
    }

    /// Waits until all threads are done with the job.
    fn wait(&self) {
        for _ in 0..SPINS {
            if self.left.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut board = self.board();
        self.is_awaited.store(true, Ordering::SeqCst);
        while self.left.load(Ordering::SeqCst) > 0 {
            board = self.done.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        self.is_awaited.store(false, Ordering::SeqCst);
    }
}

/// Waits for the threads, also when the caller's own part panics.
struct Wait<'a>(&'a Shared);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.wait();
        self.0.board().job = None;
    }
}

/// Threads that wait for operations, until the pool is dropped.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// One operation at a time.
    turn: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts threads, one less than `n`: the caller of an operation is the first.
    ///
    /// # Errors
    /// Those of the system, if it has no more threads.
    pub(crate) fn start(n: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            board: Mutex::new(Board { job: None, is_over: false, asleep: 0 }),
            jobs: AtomicU64::new(0),
            posted: Condvar::new(),
            left: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            done: Condvar::new(),
            has_panicked: AtomicBool::new(false),
        });
        let mut pool = Self { shared, turn: Mutex::new(()), threads: Vec::new() };
        for nth in 1..n {
            let shared = Arc::clone(&pool.shared);
            let builder = std::thread::Builder::new().name(format!("tensors-{nth}"));
            let thread = builder.stack_size(STACK_BYTES).spawn(move || shared.serve(nth))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Calls `part` with each number in `0..parts` on `threads` threads.
    fn run(&self, threads: usize, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let threads = threads.min(parts).min(self.threads.len() + 1);
        if threads <= 1 {
            return (0..parts).for_each(part);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: no thread uses `part` after this function: `wait` returns once all that got it
        // are done, and is dropped on every way out.
        #[expect(unsafe_code, reason = "threads that outlive the operations that they work on")]
        let part = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(part)
        };
        self.shared.left.store(threads - 1, Ordering::SeqCst);
        let wait = Wait(&self.shared);
        self.shared.post(Some(Job { part, parts, threads }));
        (0..parts).step_by(threads).for_each(part);
        drop(wait);
        let has_panicked = self.shared.has_panicked.swap(false, Ordering::SeqCst);
        assert!(!has_panicked, "a thread of an operation panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.post(None);
        for thread in self.threads.drain(..) {
            // None panics: their parts are caught.
            let _ = thread.join();
        }
    }
}

/// Some of a pool's threads.
pub(crate) struct Threads {
    pub(crate) pool: Arc<Pool>,
    pub(crate) n: usize,
}

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.n.min(self.pool.threads.len() + 1)
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        self.pool.run(self.n, parts, part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_run_once_and_by_its_thread() {
        let pool = Arc::new(Pool::start(4).unwrap());
        for n in [1, 2, 3, 4, 9] {
            let threads = Threads { pool: Arc::clone(&pool), n };
            for parts in [0, 1, 2, 3, 4, 5, 64] {
                for _ in 0..200 {
                    let ran: Vec<Mutex<Vec<String>>> =
                        (0..parts).map(|_| Mutex::default()).collect();
                    threads.run(parts, &|nth| {
                        let name = std::thread::current().name().unwrap_or_default().to_owned();
                        ran[nth].lock().unwrap().push(name);
                    });
                    let used = threads.threads().min(parts);
                    for (nth, ran) in ran.into_iter().enumerate() {
                        let ran = ran.into_inner().unwrap();
                        assert_eq!(ran.len(), 1, "part {nth} of {parts}");
                        let by = (nth % used > 0).then(|| format!("tensors-{}", nth % used));
                        assert!(by.is_none_or(|by| by == ran[0]), "part {nth} by {}", ran[0]);
                    }
                }
            }
        }
    }

    /// Threads that sleep are woken, and a caller that sleeps is.
    #[test]
    fn long_waits_end() {
        let threads = Threads { pool: Arc::new(Pool::start(2).unwrap()), n: 2 };
        let n = AtomicUsize::new(0);
        for _ in 0..3 {
            // Longer than anyone spins.
            std::thread::sleep(std::time::Duration::from_millis(20));
            threads.run(2, &|nth| {
                std::thread::sleep(std::time::Duration::from_millis(20 * nth as u64));
                n.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(n.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn a_panic_ends_the_operation_and_not_the_program() {
        let threads = Threads { pool: Arc::new(Pool::start(3).unwrap()), n: 3 };
        for wrong in 0..3 {
            let run = || threads.run(3, &|nth| assert!(nth != wrong, "part {nth}"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        }
    }
}
