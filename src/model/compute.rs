//! Where and how a model computes.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::thread;

use tch::{Device, Kind, Tensor};

use crate::model::cpu::Cpu;
use crate::model::kernels::{Kernels, Precision};
use crate::model::{Config, Dtype, ExpertFormat, LoadError, Place};

/// A device, a number format, and by whose arithmetic.
#[derive(Clone)]
pub struct Compute {
    pub place: Place,
    /// Our own kernels; else libtorch does it all.
    pub cpu: Option<Rc<Cpu>>,
    /// Experts stay as they are in the checkpoint, four bits a weight.
    pub packed: bool,
}

/// How a model is to compute.
#[derive(Debug, Clone)]
pub struct ComputeSettings {
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    pub dtype: Dtype,
    pub experts: ExpertFormat,
    /// CPU threads of one operation, where it is for somebody to say.
    pub threads: Option<NonZeroUsize>,
}

impl ComputeSettings {
    /// CPU threads of one operation of such a model: by itself one for each core, but a small model has one. Where the cores are
    /// busy, several wait for each other in each of its many short operations, longer than these take.
    pub fn threads(&self, config: &Config) -> usize {
        let is_small = config.hidden.saturating_mul(config.intermediate) < SHARED;
        let by_itself = if is_small { Ok(NonZeroUsize::MIN) } else { thread::available_parallelism() };
        self.threads.unwrap_or(by_itself.unwrap_or(NonZeroUsize::MIN)).get()
    }
}

/// Numbers in an expert's matrix from which on several threads share its products.
const SHARED: i64 = 1 << 20;

impl Compute {
    /// For a model of this configuration. The number of threads holds for the calling thread.
    pub fn new(settings: &ComputeSettings, config: &Config) -> Result<Self, LoadError> {
        let ComputeSettings { device, dtype, experts, threads: _ } = settings;
        let place = Place::new(device, *dtype)?;
        let threads = settings.threads(config);
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        let native = place.device == Device::Cpu && place.kind == Kind::Float;
        let cpu = native.then(|| {
            let precision = if *dtype == Dtype::Float32 { Precision::Exact } else { Precision::Fast };
            Rc::new(Cpu::new(threads, precision))
        });
        let packed = match experts {
            ExpertFormat::Packed => true,
            ExpertFormat::Bfloat16 => false,
            ExpertFormat::Auto => native || !fits(config, place),
        };
        Ok(Compute { place, cpu, packed })
    }

    /// The same by libtorch alone: what a GPU does, wherever it is.
    pub fn on_libtorch(self) -> Self {
        Compute { cpu: None, ..self }
    }
}

/// Bytes a second that the CPU reads from memory with so many threads. Takes about a second.
pub fn read_bandwidth(threads: usize) -> f64 {
    Kernels::new(threads).bandwidth()
}

/// Whether the whole model has room on its device with experts that are not packed. libtorch has no question for it, so room
/// is taken and given back.
fn fits(config: &Config, place: Place) -> bool {
    let bytes = config.parameters().saturating_mul(place.kind.elt_size_in_bytes() as u64);
    // An eighth for keys and values and for what is under way.
    let Ok(bytes) = i64::try_from(bytes / 8 * 9) else { return false };
    place.device != Device::Cpu && Tensor::f_empty([bytes], (Kind::Uint8, place.device)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_has_one_thread_unless_more_are_asked_for() {
        let settings = |threads| ComputeSettings {
            device: "cpu".into(),
            dtype: Dtype::Auto,
            experts: ExpertFormat::Auto,
            threads: NonZeroUsize::new(threads),
        };
        let nano = Config::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/safeguard-nano").as_ref()).unwrap();
        let large = Config::shape("20b").unwrap();
        let cores = thread::available_parallelism().unwrap().get();
        assert_eq!((settings(0).threads(&nano), settings(0).threads(&large)), (1, cores));
        assert_eq!((settings(3).threads(&nano), settings(3).threads(&large)), (3, 3));
    }
}
