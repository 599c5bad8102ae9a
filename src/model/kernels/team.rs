//! Threads that do one piece of work together: those of OpenMP that libtorch uses too, where they can be had.
//!
//! Two teams would keep waiting actively for work and so take the cores from each other.

#![allow(unsafe_code, reason = "OpenMP is found by name at run time and calls back through a pointer")]

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs work on a number of threads. The caller's is one of them.
#[derive(Debug)]
pub struct Team {
    threads: usize,
    openmp: Option<OpenMp>,
}

impl Team {
    /// Of at least one thread.
    pub fn new(threads: usize) -> Self {
        Team { threads: threads.max(1), openmp: OpenMp::find() }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(thread, threads)` once on every thread and waits for all of them. There may be fewer threads than
    /// the team has. A panic is passed on, once all are done.
    pub fn run(&self, work: impl Fn(usize, usize) + Sync) {
        if self.threads == 1 {
            return work(0, 1);
        }
        let job = Job { work: &work, panic: Mutex::new(None) };
        match &self.openmp {
            Some(openmp) => openmp.run(self.threads, &job),
            None => thread::scope(|scope| {
                for other in 1..self.threads {
                    let job = &job;
                    scope.spawn(move || job.run(other, self.threads));
                }
                job.run(0, self.threads);
            }),
        }
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            resume_unwind(panic);
        }
    }

    /// Calls `work(thread, index)` for every index below `count`, each on the next thread that is free.
    pub fn each(&self, count: usize, work: impl Fn(usize, usize) + Sync) {
        if count <= 1 || self.threads == 1 {
            return (0..count).for_each(|index| work(0, index));
        }
        let next = AtomicUsize::new(0);
        self.run(|thread, _| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                work(thread, index);
            }
        });
    }
}

/// Calls `work(row, x)` for every row of `x` `[rows, cols]`; by the caller alone where there is little to do.
pub fn by_row(team: &Team, x: &[f32], cols: usize, work: impl Fn(usize, &[f32]) + Sync) {
    const LITTLE: usize = 1 << 14;
    let rows = x.chunks_exact(cols);
    if x.len() <= LITTLE {
        rows.enumerate().for_each(|(row, x)| work(row, x));
    } else {
        team.each(rows.len(), |_, row| work(row, &x[row * cols..(row + 1) * cols]));
    }
}

/// Calls `work` with ranges of rows, each of enough numbers to be worth a thread.
pub fn by_piece(team: &Team, rows: usize, cols: usize, work: impl Fn(Range<usize>) + Sync) {
    const ENOUGH: usize = 1 << 15;
    let piece = ENOUGH.div_ceil(cols.max(1));
    team.each(rows.div_ceil(piece), |_, index| work(index * piece..rows.min((index + 1) * piece)));
}

/// What a team is doing. No panic leaves it, for there may be frames of C below.
struct Job<'a> {
    work: &'a (dyn Fn(usize, usize) + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    fn run(&self, thread: usize, threads: usize) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.work)(thread, threads))) {
            self.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(panic);
        }
    }
}

use openmp::OpenMp;

#[cfg(unix)]
mod openmp {
    use super::Job;
    use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

    // SAFETY: what it calls gets the pointer that is passed.
    type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);
    type Number = extern "C" fn() -> c_int;

    /// The entry points of the OpenMP library that this process has loaded.
    #[derive(Clone, Copy, Debug)]
    pub struct OpenMp {
        parallel: Parallel,
        thread: Number,
        threads: Number,
    }

    // SAFETY: the signature of dlsym in POSIX.
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    /// `RTLD_DEFAULT`: whatever is loaded and visible to all.
    const ANYWHERE: *mut c_void =
        if cfg!(target_vendor = "apple") { -2isize as *mut c_void } else { std::ptr::null_mut() };

    impl OpenMp {
        /// Of GNU's library or LLVM's, which has the same names for it.
        pub fn find() -> Option<Self> {
            let find = |name: &CStr| {
                // SAFETY: the name ends in zero, and the handle is one that dlsym knows.
                let found = unsafe { dlsym(ANYWHERE, name.as_ptr()) };
                (!found.is_null()).then_some(found)
            };
            let (parallel, thread) = (find(c"GOMP_parallel")?, find(c"omp_get_thread_num")?);
            let threads = find(c"omp_get_num_threads")?;
            // SAFETY: functions of these names have these signatures, in both libraries.
            Some(unsafe {
                OpenMp {
                    parallel: std::mem::transmute::<*mut c_void, Parallel>(parallel),
                    thread: std::mem::transmute::<*mut c_void, Number>(thread),
                    threads: std::mem::transmute::<*mut c_void, Number>(threads),
                }
            })
        }

        pub fn run(&self, threads: usize, job: &Job) {
            let call = Call { job, openmp: self };
            // SAFETY: `member` takes a `Call`, which outlives this call, for it returns once all threads have.
            unsafe { (self.parallel)(member, (&raw const call).cast_mut().cast(), threads as c_uint, 0) }
        }
    }

    struct Call<'a> {
        job: &'a Job<'a>,
        openmp: &'a OpenMp,
    }

    extern "C" fn member(call: *mut c_void) {
        // SAFETY: `OpenMp::run` passes a `Call` that all threads may read.
        let Call { job, openmp } = unsafe { &*call.cast::<Call>() };
        job.run((openmp.thread)() as usize, (openmp.threads)() as usize);
    }
}

#[cfg(not(unix))]
mod openmp {
    /// There is none to be found.
    #[derive(Debug)]
    pub enum OpenMp {}

    impl OpenMp {
        pub fn find() -> Option<Self> {
            None
        }

        pub fn run(&self, _: usize, _: &super::Job) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teams() -> impl Iterator<Item = Team> {
        (0..=4).flat_map(|threads| [Team::new(threads), Team { threads: threads.max(1), openmp: None }])
    }

    #[test]
    fn every_thread_works_once() {
        for team in teams() {
            let seen: Vec<AtomicUsize> = (0..team.threads()).map(|_| AtomicUsize::new(0)).collect();
            let size = AtomicUsize::new(0);
            team.run(|thread, threads| {
                seen[thread].fetch_add(1, Ordering::Relaxed);
                size.store(threads, Ordering::Relaxed);
            });
            let seen: Vec<usize> = seen.into_iter().map(AtomicUsize::into_inner).collect();
            assert_eq!(seen, vec![1; size.into_inner()]);
        }
    }

    #[test]
    fn every_index_is_worked_on_once() {
        for team in teams() {
            for count in [0, 1, 2, 7, 1000] {
                let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                team.each(count, |thread, index| {
                    assert!(thread < team.threads());
                    seen[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(seen.into_iter().all(|seen| seen.into_inner() == 1));
            }
        }
    }

    #[test]
    fn a_panic_comes_back_and_the_team_goes_on() {
        for team in teams() {
            let panic = catch_unwind(|| team.each(50, |_, index| assert!(index != 7, "at {index}"))).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>().unwrap(), "at 7");
            team.run(|_, _| {});
        }
    }

    #[test]
    fn within_a_team_another_still_works() {
        let team = Team::new(2);
        let done = AtomicUsize::new(0);
        team.each(4, |_, _| {
            team.each(3, |_, _| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(done.into_inner(), 12);
    }
}
