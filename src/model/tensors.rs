//! Stored weights as tensors of libtorch, and tensors as slices of numbers.

#![allow(unsafe_code, reason = "libtorch and the kernels share memory by pointer")]

use std::ptr::NonNull;
use std::slice;

use tch::{Device, Kind, Tensor};

use crate::model::error::first_line;
use crate::model::{Format, LoadError, Place, Stored};

/// A tensor over the memory of stored weights, which it keeps.
pub struct Mapped {
    tensor: Tensor,
    _stored: Stored,
}

impl Mapped {
    /// Without copying, on the CPU.
    pub fn new(stored: Stored) -> Self {
        let (shape, kind) = (shape(&stored), kind(&stored));
        let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        // SAFETY: the bytes are as many as shape and format say, are aligned for it, and are kept beside the tensor. Nobody
        // writes to a weight.
        let tensor = unsafe { Tensor::from_blob(stored.bytes().as_ptr(), &shape, &strides, kind, Device::Cpu) };
        Mapped { tensor, _stored: stored }
    }

    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }
}

/// The weights in this place and number format.
pub fn tensor(stored: &Stored, place: Place) -> Result<Tensor, LoadError> {
    let tensor = Tensor::f_from_data_size(stored.bytes(), &shape(stored), kind(stored));
    let tensor = tensor.map_err(|e| stored.error(first_line(&e.to_string())))?;
    Ok(tensor.to_kind(place.kind).to_device(place.device))
}

/// The bytes as they are, on this device.
pub fn raw(stored: &Stored, device: Device) -> Result<Tensor, LoadError> {
    tensor(stored, Place { device, kind: kind(stored) })
}

/// The numbers of a float32 tensor on the CPU that lies in one piece. Panics for any other.
pub fn floats(tensor: &Tensor) -> &[f32] {
    let start = start(tensor, Kind::Float);
    // SAFETY: the tensor is float32, on the CPU and in one piece, so there are `numel` numbers from its start on; they live
    // as long as the tensor that is borrowed.
    unsafe { slice::from_raw_parts(start, tensor.numel()) }
}

/// Like [`floats`], to be written. The tensor shares its memory with no other that is used meanwhile.
pub fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    let start = start(tensor, Kind::Float);
    // SAFETY: as above; the tensor is borrowed for writing, and callers hand in tensors that they have just made.
    unsafe { slice::from_raw_parts_mut(start, tensor.numel()) }
}

/// The numbers of an int64 tensor on the CPU that lies in one piece. Panics for any other.
pub fn ids(tensor: &Tensor) -> &[i64] {
    let start = start(tensor, Kind::Int64);
    // SAFETY: as for `floats`.
    unsafe { slice::from_raw_parts(start, tensor.numel()) }
}

/// Where the numbers begin. An empty tensor has no memory, and a slice begins somewhere all the same.
fn start<T>(tensor: &Tensor, kind: Kind) -> *mut T {
    assert_eq!((tensor.kind(), tensor.device()), (kind, Device::Cpu));
    assert!(tensor.is_contiguous(), "the tensor lies in one piece");
    NonNull::new(tensor.data_ptr().cast()).unwrap_or(NonNull::dangling()).as_ptr()
}

fn shape(stored: &Stored) -> Vec<i64> {
    stored.shape().iter().map(|&side| side as i64).collect()
}

fn kind(stored: &Stored) -> Kind {
    match stored.format() {
        Format::F32 => Kind::Float,
        Format::F16 => Kind::Half,
        Format::Bf16 => Kind::BFloat16,
        Format::U8 => Kind::Uint8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tensor_is_an_empty_slice() {
        let empty = |kind| Tensor::empty([0, 4], (kind, Device::Cpu));
        assert!(floats(&empty(Kind::Float)).is_empty());
        assert!(floats_mut(&mut empty(Kind::Float)).is_empty());
        assert!(ids(&empty(Kind::Int64)).is_empty());
    }
}
