//! The keys and values of one sequence, layer by layer: what attention has computed and need not compute again.

use tch::Tensor;

use crate::model::{Config, Place};

/// Keys and values of the positions `0..len` of a sequence.
pub struct KvCache {
    layers: Vec<LayerKv>,
    len: usize,
}

/// One layer's keys and values, each `[kv_heads, room, head_dim]`, of which the first `len` positions count.
pub struct LayerKv {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    pub fn new(config: &Config, place: Place) -> Self {
        let empty = || Tensor::empty([config.kv_heads, 0, config.head_dim], (place.kind, place.device));
        let layers = config.layers.iter().map(|_| LayerKv { keys: empty(), values: empty() }).collect();
        KvCache { layers, len: 0 }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A copy that shares nothing with this one, with room for `room` more positions.
    pub fn fork(&self, room: usize) -> Self {
        let layers = self.layers.iter().map(|layer| layer.copy(self.len as i64, (self.len + room) as i64)).collect();
        KvCache { layers, len: self.len }
    }

    /// Forgets every position from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `count` more positions.
    pub(super) fn reserve(&mut self, count: usize) {
        let (len, needed) = (self.len as i64, (self.len + count) as i64);
        for layer in self.layers.iter_mut().filter(|layer| layer.keys.size()[1] < needed) {
            *layer = layer.copy(len, needed.max(2 * len));
        }
    }

    pub(super) fn layer(&self, layer: usize) -> &LayerKv {
        &self.layers[layer]
    }

    /// Counts in positions that every layer has written.
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
    }
}

impl LayerKv {
    /// Writes `[kv_heads, positions, head_dim]` at a position that [`KvCache::reserve`] has made room for.
    pub fn write(&self, at: usize, keys: &Tensor, values: &Tensor) {
        for (all, new) in [(&self.keys, keys), (&self.values, values)] {
            all.narrow(1, at as i64, new.size()[1]).copy_(new);
        }
    }

    /// Keys and values of the positions `from..to`.
    pub fn read(&self, from: i64, to: i64) -> (Tensor, Tensor) {
        (self.keys.narrow(1, from, to - from), self.values.narrow(1, from, to - from))
    }

    fn copy(&self, len: i64, room: i64) -> Self {
        let copy = |old: &Tensor| {
            let size = old.size();
            let new = Tensor::empty([size[0], room, size[2]], (old.kind(), old.device()));
            new.narrow(1, 0, len).copy_(&old.narrow(1, 0, len));
            new
        };
        LayerKv { keys: copy(&self.keys), values: copy(&self.values) }
    }
}
