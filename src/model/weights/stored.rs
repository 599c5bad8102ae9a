//! A tensor as it lies in its file: bytes, number format and shape.

#![allow(unsafe_code, reason = "numbers are read where they lie")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::memory;
use crate::model::LoadError;

/// Files hold the lower byte first; the numbers are read as they lie.
const _: () = assert!(cfg!(target_endian = "little"), "safetensors files are little-endian");

/// A tensor of a checkpoint. Cheap to clone: the bytes are those of the mapped file, which stays mapped for as long as
/// anybody holds them. There are as many bytes as the shape says, and they begin at a multiple of the number's size.
#[derive(Debug, Clone)]
pub struct Stored {
    bytes: Bytes,
    format: Format,
    shape: Vec<usize>,
    name: Arc<str>,
    file: Arc<Path>,
}

/// Number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    Bf16,
    /// What MXFP4 is packed in.
    U8,
}

/// The numbers of a tensor; the two short formats as bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Bf16(&'a [u16]),
    U8(&'a [u8]),
}

impl Stored {
    /// Copies the bytes if they lie askew: a file's header may have any length.
    pub(super) fn new(
        bytes: Bytes,
        format: Format,
        shape: Vec<usize>,
        name: Arc<str>,
        file: Arc<Path>,
    ) -> Result<Self, LoadError> {
        let mut stored = Stored { bytes, format, shape, name, file };
        let numbers = stored.shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        if numbers.and_then(|numbers| numbers.checked_mul(format.size())) != Some(stored.bytes.len()) {
            return Err(stored.error(format!("{} bytes for shape {:?}", stored.bytes.len(), stored.shape)));
        }
        if !(stored.bytes.as_ptr() as usize).is_multiple_of(format.size()) {
            stored.bytes = memory::copied(&stored.bytes).map_err(|e| stored.error(e))?;
        }
        Ok(stored)
    }

    /// The bytes, as in the file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, where they lie.
    pub fn values(&self) -> Values<'_> {
        match self.format {
            Format::F32 => Values::F32(numbers(&self.bytes)),
            Format::F16 => Values::F16(numbers(&self.bytes)),
            Format::Bf16 => Values::Bf16(numbers(&self.bytes)),
            Format::U8 => Values::U8(&self.bytes),
        }
    }

    /// Some entries of the first dimension, without copying. Errors where there are fewer.
    pub fn rows(&self, rows: Range<usize>) -> Result<Self, LoadError> {
        let count = self.shape.first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > count {
            return Err(self.error(format!("has {count} rows, {rows:?} are asked for")));
        }
        // There is a row, or the range is empty.
        let row = self.bytes.len() / count.max(1);
        let mut shape = self.shape.clone();
        if let Some(count) = shape.first_mut() {
            *count = rows.len();
        }
        Ok(Stored { bytes: self.bytes.slice(rows.start * row..rows.end * row), shape, ..self.clone() })
    }

    /// `[matrices, rows, columns]` as `[matrices, columns, rows]`, in memory of its own.
    pub(super) fn transposed(&self) -> Result<Self, LoadError> {
        let &[matrices, rows, columns] = self.shape.as_slice() else {
            return Err(self.error(format!("has shape {:?}, expected three sides", self.shape)));
        };
        let bytes = match self.format.size() {
            4 => memory::transposed::<4>(&self.bytes, rows, columns),
            2 => memory::transposed::<2>(&self.bytes, rows, columns),
            _ => memory::transposed::<1>(&self.bytes, rows, columns),
        };
        let bytes = bytes.map_err(|e| self.error(e))?;
        Ok(Stored { bytes, shape: vec![matrices, columns, rows], ..self.clone() })
    }

    /// An error that names this tensor and its file.
    pub fn error(&self, problem: impl ToString) -> LoadError {
        LoadError::tensor(&*self.file, &*self.name, problem)
    }
}

impl Format {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::Bf16 => 2,
            Format::U8 => 1,
        }
    }
}

/// A number of which every pattern of bits is a value.
trait Plain {}
impl Plain for f32 {}
impl Plain for u16 {}

fn numbers<T: Plain>(bytes: &[u8]) -> &[T] {
    // SAFETY: every pattern of bits is a value of `T`.
    let (before, numbers, after) = unsafe { bytes.align_to::<T>() };
    debug_assert!(before.is_empty() && after.is_empty(), "`Stored::new` has checked length and place");
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: Bytes, format: Format, shape: &[usize]) -> Result<Stored, LoadError> {
        Stored::new(bytes, format, shape.to_vec(), "a".into(), Path::new("b").into())
    }

    #[test]
    fn numbers_are_read_wherever_they_lie() {
        let numbers: Vec<f32> = (0..6).map(|i| i as f32 / 3.0).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        for skew in 0..8 {
            let bytes = Bytes::from([vec![0; skew], bytes.clone()].concat()).slice(skew..);
            let stored = stored(bytes, Format::F32, &[3, 2]).unwrap();
            assert_eq!(stored.values(), Values::F32(&numbers));
            assert_eq!(stored.rows(1..3).unwrap().values(), Values::F32(&numbers[2..]));
            assert_eq!(stored.rows(1..1).unwrap().shape(), [0, 2]);
        }
    }

    #[test]
    fn a_length_that_is_not_the_shapes_is_refused() {
        for shape in [&[4usize][..], &[2], &[usize::MAX, 2], &[3, 0]] {
            let error = stored(Bytes::from_static(&[0; 6]), Format::Bf16, shape).expect_err("a wrong length");
            assert!(error.to_string().starts_with("b: tensor `a`: 6 bytes"), "{error}");
        }
    }

    #[test]
    fn rows_that_are_not_there_are_refused() {
        let stored = stored(Bytes::from_static(&[0; 6]), Format::U8, &[3, 2]).unwrap();
        #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
        for rows in [0..4, 4..4, 2..1] {
            assert!(stored.rows(rows).is_err());
        }
    }
}
