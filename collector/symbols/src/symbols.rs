//! The door: lookups, the thread that loads, and how long callers wait for it.

mod load;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    cache::{Job, Limits, State},
    process::Process,
};

/// Jobs that may wait; there is at most one for each process.
const MAX_JOBS: usize = 256;
/// Time between two looks at what can be given back.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// Where to look, and what it may cost.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root directory of the host.
    pub root: PathBuf,
    /// Limits.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), limits: Limits::default() }
    }
}

/// What is looked at for the names of a process's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Symbol tables and perf maps: one name for each frame.
    Symtab,
    /// Debug information as well: a frame has a name for each function that the compiler put into another.
    Full,
}

/// What became of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Frames of it.
    pub frames: u32,
    /// Frames without a name.
    pub unknown: u32,
    /// Symbols were not there in time.
    pub is_late: bool,
}

/// Symbols of the kernel and of all processes. Its thread runs while there is something to load or to give back.
#[derive(Debug)]
pub struct Symbols {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<State>,
    budget: Mutex<Budget>,
    /// There is a job.
    work: Condvar,
    /// A job is done.
    done: Condvar,
}

/// Time that callers may still wait.
#[derive(Debug)]
struct Budget {
    left: Duration,
    at: Instant,
}

impl Symbols {
    /// Symbols with caches of their own.
    pub fn new(options: Options) -> Self {
        let budget = Budget { left: options.limits.burst, at: Instant::now() };
        let shared = Shared {
            options,
            state: Mutex::default(),
            budget: Mutex::new(budget),
            work: Condvar::new(),
            done: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The symbols of this machine, whose files are below `root`: all who ask while somebody has them get the same.
    pub fn of_this_machine(root: &Path) -> Arc<Self> {
        static SHARED: Mutex<Weak<Symbols>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self::new(Options { root: root.to_owned(), ..Options::default() }));
            *shared = Arc::downgrade(&new);
            new
        })
    }

    /// Appends the names of kernel addresses, each followed by `; `.
    pub fn kernel(&self, addresses: &[u64], out: &mut String) -> Found {
        self.lookup(out, |state, out, found| state.kernel(addresses, out, found), || Job::Kernel)
    }

    /// Appends the names of addresses in a process, innermost first, each followed by `; `; those without a name as
    /// `0x…`.
    pub fn user(&self, process: &Process, addresses: &[u64], method: Method, out: &mut String) -> Found {
        let job = || Job::User {
            process: *process,
            addresses: addresses.to_vec(),
            functions: method == Method::Full,
        };
        self.lookup(out, |state, out, found| state.user(process, addresses, method, out, found), job)
    }

    /// Bytes of all that is kept at the moment.
    pub fn bytes(&self) -> usize {
        self.shared.state().bytes()
    }

    fn lookup(
        &self,
        out: &mut String,
        mut ask: impl FnMut(&mut State, &mut String, &mut Found) -> bool,
        job: impl Fn() -> Job,
    ) -> Found {
        let start = out.len();
        let mut state = self.shared.state();
        // A job that was waiting for other addresses of the process may come first.
        for _ in 0..2 {
            out.truncate(start);
            let mut found = Found::default();
            if !ask(&mut state, out, &mut found) {
                return found;
            }
            let Some(number) = self.shared.ask_for(&mut state, job()) else { break };
            let (next, is_done) = self.shared.wait(state, number);
            state = next;
            if !is_done {
                break;
            }
        }
        out.truncate(start);
        let mut found = Found::default();
        let is_missing = ask(&mut state, out, &mut found);
        Found { is_late: is_missing && found.unknown > 0, ..found }
    }
}

impl Drop for Symbols {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the job once it is in the queue.
    fn ask_for(self: &Arc<Self>, state: &mut State, job: Job) -> Option<u64> {
        let key = job.key();
        if let Some(number) = state.pending.get(&key) {
            return Some(*number);
        }
        if state.jobs.len() >= MAX_JOBS {
            return None;
        }
        if !state.is_working {
            let shared = Arc::clone(self);
            let started = thread::Builder::new().name("ig-symbols".to_owned()).spawn(move || shared.work());
            if let Err(error) = started {
                warn!(name: "symbols.thread.failed", error = &error as &dyn std::error::Error);
                return None;
            }
            state.is_working = true;
        }
        state.asked += 1;
        let number = state.asked;
        state.pending.insert(key, number);
        state.jobs.push_back((number, job));
        self.work.notify_one();
        Some(number)
    }

    /// Waits for a job as long as the budget allows; whether it is done.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, number: u64) -> (MutexGuard<'a, State>, bool) {
        let begun = Instant::now();
        let left = self.budget().refilled(begun, &self.options.limits);
        if left.is_zero() {
            return (state, false);
        }
        let waited = self.done.wait_timeout_while(state, left, |state| state.done < number);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut budget = self.budget();
        budget.left = budget.left.saturating_sub(begun.elapsed());
        let is_done = state.done >= number;
        (state, is_done)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: loads what is asked for and gives back what nobody uses; ends when there is neither.
    fn work(&self) {
        let mut state = self.state();
        let mut cleaned = Instant::now();
        while !state.is_closed {
            if let Some((number, job)) = state.jobs.pop_front() {
                drop(state);
                self.load(&job);
                state = self.state();
                state.pending.remove(&job.key());
                state.done = number;
                state.shrink(&self.options.limits);
                self.done.notify_all();
            } else {
                let period = HOUSEKEEPING.min(self.options.limits.idle);
                let waited = self
                    .work
                    .wait_timeout_while(state, period, |state| state.jobs.is_empty() && !state.is_closed);
                (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
            if cleaned.elapsed() >= HOUSEKEEPING.min(self.options.limits.idle) {
                cleaned = Instant::now();
                drop(state);
                let modules = load::kernel_modules(&self.options.root);
                state = self.state();
                state.forget_kernel_unless(modules);
                state.shrink(&self.options.limits);
                if state.is_empty() && state.jobs.is_empty() {
                    break;
                }
            }
        }
        state.is_working = false;
    }
}

impl Budget {
    fn refilled(&mut self, now: Instant, limits: &Limits) -> Duration {
        let since = now.saturating_duration_since(self.at).min(Duration::from_secs(3600));
        self.at = now;
        self.left = (self.left + limits.per_second.mul_f64(since.as_secs_f64())).min(limits.burst);
        self.left
    }
}
