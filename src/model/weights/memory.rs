//! Memory that several threads fill, and nobody changes after.

use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use memmap2::MmapMut;

/// What the memory is made of, where the system gives a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// As a mapped file has them.
    Small,
    /// A fault for every 4 KB is most of the time that filling takes, and a look-up for each slows reading.
    Huge,
}

/// `len` bytes, page-aligned: `fill(i, piece)` is called once for every piece of `piece` bytes, the last perhaps shorter.
/// The memory is fresh from the system, so that large tensors are touched once, and by all cores.
pub fn filled(len: usize, piece: usize, pages: Pages, fill: impl Fn(usize, &mut [u8]) + Sync) -> io::Result<Bytes> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    let mut map = MmapMut::map_anon(len)?;
    // Advice may be declined.
    #[cfg(target_os = "linux")]
    if pages == Pages::Huge {
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    let pieces = len.div_ceil(piece);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces);
    let work = Mutex::new(map.chunks_mut(piece).enumerate());
    // The lock is held only to take the next piece, which does not panic.
    let next = || work.lock().ok().and_then(|mut work| work.next());
    let run = || {
        while let Some((index, piece)) = next() {
            fill(index, piece);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    Ok(Bytes::from_owner(map.make_read_only()?))
}

/// A copy that begins where a page does.
pub fn copied(bytes: &[u8]) -> io::Result<Bytes> {
    const PIECE: usize = 1 << 20;
    filled(bytes.len(), PIECE, Pages::Huge, |index, piece| {
        piece.copy_from_slice(&bytes[index * PIECE..][..piece.len()])
    })
}

/// `[matrices, rows, columns]` of elements of `N` bytes, as `[matrices, columns, rows]`.
pub fn transposed<const N: usize>(from: &[u8], rows: usize, columns: usize) -> io::Result<Bytes> {
    /// Rows and columns of a tile: both its sides fit the first cache.
    const TILE: usize = 32;
    let matrix = rows * columns * N;
    filled(from.len(), matrix, Pages::Huge, |index, to| {
        let (from, _) = from[index * matrix..][..matrix].as_chunks::<N>();
        let (to, _) = to.as_chunks_mut::<N>();
        for top in (0..rows).step_by(TILE) {
            for left in (0..columns).step_by(TILE) {
                for row in top..rows.min(top + TILE) {
                    for column in left..columns.min(left + TILE) {
                        to[column * rows + row] = from[row * columns + column];
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_filled_once() {
        for (len, piece) in [(0, 1), (1, 1), (10, 3), (4096, 4096), (100_000, 7), (5, 100)] {
            let bytes =
                filled(len, piece, Pages::Huge, |index, piece| piece.iter_mut().for_each(|byte| *byte += index as u8))
                    .unwrap();
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == (at / piece) as u8), "{len} by {piece}");
        }
    }

    #[test]
    fn rows_become_columns() {
        let (matrices, rows, columns) = (3, 70, 33);
        let value = |matrix: usize, row: usize, column: usize| ((matrix * rows + row) * columns + column) as u16;
        let from: Vec<u8> = (0..matrices * rows * columns).flat_map(|i| (i as u16).to_le_bytes()).collect();
        let to = transposed::<2>(&from, rows, columns).unwrap();
        let found = to.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        let expected = (0..matrices).flat_map(|matrix| {
            (0..columns).flat_map(move |column| (0..rows).map(move |row| value(matrix, row, column)))
        });
        assert!(found.eq(expected));
    }
}
