//! Memory that the kernels keep between calls, and memory whose parts several threads write.

#![allow(unsafe_code, reason = "plain numbers are read from raw memory, and threads write parts of one slice")]

use std::marker::PhantomData;
use std::ops::Range;

/// Numbers that begin on a cache line. It grows, and never shrinks: fresh pages cost more than the work done on them.
#[derive(Debug)]
pub struct Buffer<T> {
    lines: Vec<Line>,
    numbers: PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Types for which any bytes do.
pub trait Number: Copy {}

impl Number for f32 {}
impl Number for i32 {}
impl Number for u32 {}
impl Number for i8 {}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Buffer { lines: Vec::new(), numbers: PhantomData }
    }
}

impl<T: Number> Buffer<T> {
    /// So many numbers to be written; they are whatever they were.
    pub fn space(&mut self, len: usize) -> &mut [T] {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        // SAFETY: the lines are initialised, long enough and aligned for numbers, which any bytes are.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }

    /// All that it has room for.
    pub fn all(&self) -> &[T] {
        let len = self.lines.len() * (size_of::<Line>() / size_of::<T>());
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), len) }
    }
}

/// A slice that threads write at the same time, each to places of its own.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice of numbers, parted between threads.
unsafe impl<T: Number + Send> Sync for Shared<'_, T> {}

impl<'a, T: Number> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    // SAFETY: while a part is held, no other part that overlaps it may be.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part within the whole");
        // SAFETY: it is within the slice, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// Chosen rows of a matrix of activations, `[.., stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    stride: usize,
    chosen: &'a [u32],
}

impl<'a, T: Number> Rows<'a, T> {
    /// Panics where a row is not there.
    pub fn new(data: &'a [T], stride: usize, chosen: &'a [u32]) -> Self {
        let end = chosen.iter().max().map_or(0, |&last| (last as usize + 1) * stride);
        assert!(end <= data.len(), "rows that exist");
        Rows { data, stride, chosen }
    }

    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `M` rows from the `first`-th of the chosen on.
    #[inline(always)]
    pub fn pointers<const M: usize>(&self, first: usize) -> [*const T; M] {
        std::array::from_fn(|m| self.data[self.chosen[first + m] as usize * self.stride..].as_ptr())
    }
}
