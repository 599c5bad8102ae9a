//! Pages: the rooms of a fixed size that keys and values live in. Who holds a page holds it by reference; the last one to
//! let go frees it.

use std::cell::RefCell;
use std::rc::Rc;

/// Positions in a page.
pub const PAGE: usize = 16;

/// A page in use.
#[derive(Debug)]
pub struct Page {
    id: u32,
    free: Rc<RefCell<Vec<u32>>>,
}

/// The pages of one kind of layer.
#[derive(Debug)]
pub struct Pages {
    free: Rc<RefCell<Vec<u32>>>,
    capacity: usize,
}

impl Page {
    /// Its row in the storage of every layer of its kind.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.free.borrow_mut().push(self.id);
    }
}

impl Pages {
    pub fn new(capacity: u32) -> Self {
        // The lowest are taken first, and those given back last before others: memory that was never used stays unused.
        let free = Rc::new(RefCell::new((0..capacity).rev().collect()));
        Pages { free, capacity: capacity as usize }
    }

    /// A page that nobody holds, if there is one. What it holds is what its last user left.
    pub fn take(&self) -> Option<Rc<Page>> {
        let id = self.free.borrow_mut().pop()?;
        Some(Rc::new(Page { id, free: self.free.clone() }))
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn free(&self) -> usize {
        self.free.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_free_again_when_its_last_holder_goes() {
        let pages = Pages::new(2);
        let (one, other) = (pages.take().unwrap(), pages.take().unwrap());
        assert_ne!(one.id(), other.id());
        assert!(pages.take().is_none());
        let again = one.clone();
        drop(one);
        assert_eq!(pages.free(), 0);
        let id = again.id();
        drop(again);
        assert_eq!(pages.take().map(|page| page.id()), Some(id));
    }
}
