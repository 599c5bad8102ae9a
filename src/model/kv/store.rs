//! The memory of all keys and values: one storage a layer, cut into pages.

#![allow(unsafe_code, reason = "a tensor over memory that is zero until it is written takes a raw pointer")]

use std::rc::Rc;

use tch::{Device, Tensor};

use crate::model::kv::pages::{PAGE, Page, Pages};
use crate::model::{Config, LayerKind, Place};

/// Positions that a sliding layer keeps beyond its window, so that a sequence can go back by as many: to another choice,
/// or to where a longer text parts from the one before.
pub const SLACK: usize = 32;

/// Of all pages, the share of sliding layers. A text of 200 tokens takes 13 pages in full layers and 11 in sliding ones; a
/// policy of 600, of which there are fewer, 38 and 11.
const SLIDING_SHARE: f64 = 0.4;

/// Keys and values of every layer.
pub struct KvStore {
    layers: Vec<LayerKv>,
    full: Pages,
    sliding: Pages,
    window: usize,
    page_bytes: [usize; 2],
}

/// One layer's storage; each `[pages, PAGE, kv_heads, head_dim]`.
pub struct LayerKv {
    pub kind: LayerKind,
    pub keys: Tensor,
    pub values: Tensor,
    /// What the tensors lie in, where libtorch does not own it.
    _memory: Vec<Vec<u64>>,
}

/// How much there is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of pages in use.
    pub used: usize,
    pub capacity: usize,
}

/// Every page is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl KvStore {
    /// At most `bytes` of memory, but room for a step of `step` tokens of one sequence in any case. On a CPU, memory is taken
    /// up as it is first used.
    pub fn new(config: &Config, place: Place, bytes: usize, step: usize) -> Self {
        let window = config.window as usize;
        let position = 2 * (config.kv_heads * config.head_dim) as usize * place.kind.elt_size_in_bytes();
        let count = |kind| config.layers.iter().filter(|&&layer| layer == kind).count();
        let page_bytes = [LayerKind::Full, LayerKind::Sliding].map(|kind| count(kind) * PAGE * position);
        let pages = |share: f64, page_bytes: usize, least: usize| {
            if page_bytes == 0 {
                return 0;
            }
            let fit = (bytes as f64 * share) as usize / page_bytes;
            // A page more on either end, and one to copy to.
            let least = least.div_ceil(PAGE) + 3;
            u32::try_from(fit.max(least).min(u32::MAX as usize / PAGE)).unwrap_or(u32::MAX)
        };
        let [full_share, sliding_share] = match page_bytes {
            [0, _] => [0.0, 1.0],
            [_, 0] => [1.0, 0.0],
            _ => [1.0 - SLIDING_SHARE, SLIDING_SHARE],
        };
        let full = pages(full_share, page_bytes[0], step);
        let sliding = pages(sliding_share, page_bytes[1], window + SLACK + step);
        let layer = |&kind: &LayerKind| {
            let pages = if kind == LayerKind::Full { full } else { sliding };
            let shape = [i64::from(pages), PAGE as i64, config.kv_heads, config.head_dim];
            let (keys, a) = zeros(&shape, place);
            let (values, b) = zeros(&shape, place);
            LayerKv { kind, keys, values, _memory: a.into_iter().chain(b).collect() }
        };
        let layers = config.layers.iter().map(layer).collect();
        KvStore { layers, full: Pages::new(full), sliding: Pages::new(sliding), window, page_bytes }
    }

    pub fn layer(&self, layer: usize) -> &LayerKv {
        &self.layers[layer]
    }

    /// Positions that a sliding layer sees, its own among them.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Positions of the longest sequence that fits, were it alone.
    pub fn longest(&self) -> usize {
        if self.page_bytes[0] == 0 { usize::MAX } else { (self.full.capacity() - 1) * PAGE }
    }

    pub fn room(&self) -> Room {
        let [full, sliding] = self.page_bytes;
        let used = |pages: &Pages| pages.capacity() - pages.free();
        Room {
            used: used(&self.full) * full + used(&self.sliding) * sliding,
            capacity: self.full.capacity() * full + self.sliding.capacity() * sliding,
        }
    }

    pub(super) fn has(&self, kind: LayerKind) -> bool {
        self.pages(kind).capacity() > 0
    }

    /// Pages that nobody holds.
    pub(super) fn free(&self, kind: LayerKind) -> usize {
        self.pages(kind).free()
    }

    /// A page to write to.
    pub(super) fn take(&self, kind: LayerKind) -> Result<Rc<Page>, NoRoom> {
        self.pages(kind).take().ok_or(NoRoom)
    }

    /// A page with the same in it.
    pub(super) fn copy(&self, kind: LayerKind, page: &Page) -> Result<Rc<Page>, NoRoom> {
        let copy = self.take(kind)?;
        for layer in self.layers.iter().filter(|layer| layer.kind == kind) {
            for storage in [&layer.keys, &layer.values] {
                storage.get(i64::from(copy.id())).copy_(&storage.get(i64::from(page.id())));
            }
        }
        Ok(copy)
    }

    fn pages(&self, kind: LayerKind) -> &Pages {
        match kind {
            LayerKind::Full => &self.full,
            LayerKind::Sliding => &self.sliding,
        }
    }
}

/// Zeros; a place that nothing was written to must hold numbers, since what is hidden from attention is weighed by zero.
/// On a CPU the system gives memory that is zero and takes it up only as it is written: libtorch's own zeros would take it
/// all up at once.
fn zeros(shape: &[i64], place: Place) -> (Tensor, Option<Vec<u64>>) {
    if place.device != Device::Cpu {
        return (Tensor::zeros(shape, (place.kind, place.device)), None);
    }
    let elements = shape.iter().product::<i64>() as usize;
    // Words, so that any number format is aligned.
    let mut memory = vec![0u64; (elements * place.kind.elt_size_in_bytes()).div_ceil(size_of::<u64>())];
    let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
    // SAFETY: the memory is as long as shape and kind say and aligned for them; it goes into the struct that holds the
    // tensor, never grows, and nothing but the tensor touches it.
    let tensor = unsafe { Tensor::from_blob(memory.as_mut_ptr().cast(), shape, &strides, place.kind, Device::Cpu) };
    (tensor, Some(memory))
}
