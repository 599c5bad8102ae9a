//! For this module's tests: a generator that answers by script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::detectors::safeguard::{Generator, Ungenerated};
use crate::model::{Job, JobError, Outcome, Pin, Pins, Tokenizer};

type Answer = Result<Vec<Outcome>, JobError>;

/// Gives prepared answers and keeps the jobs.
pub struct Scripted {
    tokenizer: Tokenizer,
    model: Arc<str>,
    answers: Mutex<VecDeque<Answer>>,
    jobs: Mutex<Vec<Job>>,
    pub pins: Arc<Pins>,
    answered: AtomicUsize,
}

impl Scripted {
    pub fn new(answers: Vec<Answer>) -> Arc<Self> {
        Arc::new(Scripted {
            tokenizer: Tokenizer::o200k(),
            model: "scripted".into(),
            answers: Mutex::new(answers.into()),
            jobs: Mutex::default(),
            pins: Arc::default(),
            answered: AtomicUsize::new(usize::MAX),
        })
    }

    /// After so many no job is answered.
    pub fn stall_after(&self, jobs: usize) {
        self.answered.store(jobs, Ordering::Relaxed);
    }

    pub fn jobs(&self) -> Vec<Job> {
        self.jobs.lock().unwrap().clone()
    }
}

#[async_trait]
impl Generator for Scripted {
    async fn generate(&self, job: Job) -> Result<Vec<Outcome>, Ungenerated> {
        let count = {
            let mut jobs = self.jobs.lock().unwrap();
            jobs.push(job);
            jobs.len()
        };
        if count > self.answered.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(self.answers.lock().unwrap().pop_front().expect("an answer for every job")?)
    }

    fn pin(&self, beginning: Arc<[u32]>) -> Pin {
        self.pins.pin(beginning)
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn kind(&self) -> &'static str {
        "libtorch"
    }

    fn model(&self) -> &Arc<str> {
        &self.model
    }

    fn max_tokens(&self) -> usize {
        131_072
    }

    fn window(&self) -> usize {
        4096
    }
}
