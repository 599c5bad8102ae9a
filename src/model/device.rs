//! Where tensors lie, and in which number format.

#![allow(unsafe_code, reason = "dlopen has no safe form")]

use std::ffi::{CStr, c_char, c_int, c_void};

use serde::Deserialize;
use tch::{Cuda, Device, Kind};

use crate::model::LoadError;

/// Number format of the activations, and how exact their products are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bfloat16 on a GPU. On a CPU float32, rounded to 16 bits for the experts and, with AMX and from eight tokens at a time
    /// on, for every matrix but the router's.
    #[default]
    Auto,
    /// In every product.
    Float32,
    Bfloat16,
}

/// How the experts' weights lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpertFormat {
    /// Packed where the format would not fit otherwise, or costs nothing.
    #[default]
    Auto,
    /// As in the checkpoint: MXFP4.
    Packed,
    Bfloat16,
}

/// Where tensors lie and in which format.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub(super) device: Device,
    pub(super) kind: Kind,
}

impl Place {
    /// `device` is `cpu`, `cuda` or `cuda:N`.
    pub fn new(device: &str, dtype: Dtype) -> Result<Self, LoadError> {
        let device = parse(device)?;
        let kind = match dtype {
            Dtype::Float32 => Kind::Float,
            Dtype::Auto if device == Device::Cpu => Kind::Float,
            Dtype::Auto | Dtype::Bfloat16 => Kind::BFloat16,
        };
        Ok(Place { device, kind })
    }
}

fn parse(name: &str) -> Result<Device, LoadError> {
    let error = |problem: String| LoadError::Device { device: name.to_owned(), problem };
    let index = match (name, name.strip_prefix("cuda:")) {
        ("cpu", _) => return Ok(Device::Cpu),
        ("cuda", _) => 0,
        (_, Some(index)) => index.parse().map_err(|_| error("expected a number after `cuda:`".into()))?,
        _ => return Err(error("expected `cpu`, `cuda` or `cuda:N`".into())),
    };
    load_cuda().map_err(|problem| error(format!("no CUDA in this libtorch ({problem})")))?;
    match Cuda::device_count() {
        count if i64::try_from(index).is_ok_and(|index: i64| index < count) => Ok(Device::Cuda(index)),
        count => Err(error(format!("this machine has {count} CUDA devices"))),
    }
}

/// libtorch registers its CUDA half when that library is loaded. The program is linked against the CPU half alone, so
/// that one binary runs on both kinds of machine. Nothing may be asked about CUDA before: libtorch looks once for that half,
/// and holds to what it finds.
fn load_cuda() -> Result<(), String> {
    const NAME: &CStr = c"libtorch_cuda.so";
    const NOW_AND_GLOBAL: c_int = 0x102;
    // SAFETY: the signatures are those of POSIX.
    unsafe extern "C" {
        fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
        fn dlerror() -> *const c_char;
    }
    // SAFETY: the name is a C string, the flags are those of Linux; the library's initialisers are libtorch's own. The
    // handle is never closed, so nothing that was registered goes away.
    if !unsafe { dlopen(NAME.as_ptr(), NOW_AND_GLOBAL) }.is_null() {
        return Ok(());
    }
    // SAFETY: after a failed dlopen on the same thread, dlerror gives null or a C string that is valid until the next
    // call; it is copied at once.
    let message = unsafe {
        let message = dlerror();
        (!message.is_null()).then(|| CStr::from_ptr(message).to_string_lossy().into_owned())
    };
    Err(message.unwrap_or_else(|| "libtorch_cuda.so did not load".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_named() {
        for name in ["gpu", "cuda:x", "cuda:99", ""] {
            let error = Place::new(name, Dtype::Auto).expect_err(name);
            assert!(error.to_string().starts_with(&format!("device `{name}`: ")), "{error}");
        }
    }

    /// With `LD_LIBRARY_PATH` at a libtorch for CUDA, on a machine with a GPU or without.
    #[test]
    fn cuda_is_there_once_its_library_is_loaded() {
        assert_eq!(load_cuda().is_ok(), tch::utils::has_cudart());
    }
}
