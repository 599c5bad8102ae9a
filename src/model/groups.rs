//! Attention for libtorch: runs of rows in groups of equal shape, so that each operation is launched once for many.

use tch::{Device, Kind, Tensor};

use crate::model::kv::PAGE;
use crate::model::layout::Run;

/// Attention scores held at once, at most, of all heads: bounds memory.
const SCORES: usize = 1 << 26;
/// Positions whose keys and values are gathered at once, at most, but those of one sequence in any case: bounds memory, to
/// 256 MiB each for those of gpt-oss.
const KEYS: usize = 1 << 18;
/// Rows of one sequence in a group, at most. Fewer rows see fewer keys that are hidden from them.
const ROWS: usize = 128;

/// Blocks of rows that are attended to together, each of one sequence, padded to the same shape.
pub struct Group {
    pub blocks: i64,
    pub rows: i64,
    /// Positions of keys for each block.
    pub keys: i64,
    /// `[blocks * rows]`: tokens of the step; padding repeats one.
    pub tokens: Tensor,
    /// `[blocks * keys / PAGE]`.
    pub pages: Tensor,
    /// `[blocks, 1, 1, rows, keys]`: true where a row does not see a key.
    pub hidden: Tensor,
    /// The rows that are none of the padding, where there is any.
    pub real: Option<Tensor>,
}

/// Rows of a run that follow each other.
struct Block<'a> {
    run: &'a Run,
    /// Of the first row, in the run.
    start: usize,
    rows: usize,
    window: Option<usize>,
}

/// Lays runs out in groups. A single row is not padded to many.
pub fn groups(runs: &[Run], heads: usize, window: Option<usize>, device: Device) -> Vec<Group> {
    let mut blocks: Vec<Block> = Vec::new();
    for run in runs {
        let keys = (run.position + run.count).next_multiple_of(PAGE);
        let fit = (SCORES / (heads * keys)).clamp(1, ROWS);
        let starts = (0..run.count).step_by(fit);
        blocks.extend(starts.map(|start| Block { run, start, rows: fit.min(run.count - start), window }));
    }
    blocks.sort_by_key(|block| (block.rows, block.keys()));
    let mut groups = Vec::new();
    let mut rest = &blocks[..];
    while let Some(first) = rest.first() {
        // Each next one has the most rows so far, though not always the most keys.
        let mut keys = 0;
        let fits = |&(before, block): &(usize, &Block)| {
            keys = block.keys().max(keys);
            let gathered = (before + 1) * keys;
            let small = gathered <= KEYS && gathered * heads * block.rows <= SCORES;
            before == 0 || (small && (block.rows == first.rows || first.rows > 1))
        };
        let count = rest.iter().enumerate().take_while(fits).count();
        let (group, after) = rest.split_at(count);
        groups.push(Group::new(group, device));
        rest = after;
    }
    groups
}

impl Block<'_> {
    fn position(&self) -> usize {
        self.run.position + self.start
    }

    /// The position at which the first page begins that it sees anything of.
    fn first(&self) -> usize {
        (Run::from(self.position(), self.window) / PAGE * PAGE).max(self.run.held)
    }

    /// Positions from there to the last row, in whole pages.
    fn keys(&self) -> usize {
        (self.position() + self.rows - self.first()).next_multiple_of(PAGE)
    }
}

impl Group {
    fn new(blocks: &[Block], device: Device) -> Self {
        let rows = blocks.iter().map(|block| block.rows).max().unwrap_or(0);
        let keys = blocks.iter().map(Block::keys).max().unwrap_or(0);
        let (mut tokens, mut pages, mut real) = (Vec::new(), Vec::new(), Vec::new());
        let (mut positions, mut firsts) = (Vec::new(), Vec::new());
        for block in blocks {
            let held = &block.run.pages[(block.first() - block.run.held) / PAGE..];
            let count = block.keys() / PAGE;
            // Where a block has fewer pages than others its last stands in: as later positions, which nobody sees.
            pages.extend((0..keys / PAGE).map(|page| i64::from(held[page.min(count - 1)])));
            firsts.push(block.first() as i64);
            for row in 0..rows {
                if row < block.rows {
                    real.push(tokens.len() as i64);
                }
                let row = row.min(block.rows - 1);
                tokens.push((block.run.token + block.start + row) as i64);
                positions.push((block.position() + row) as i64);
            }
        }
        let padded = real.len() < tokens.len();
        let tensor = |ids: &[i64]| Tensor::from_slice(ids).to_device(device);
        let (count, rows) = (blocks.len() as i64, rows as i64);
        let query = tensor(&positions).view([count, 1, 1, rows, 1]);
        let key = tensor(&firsts).view([count, 1, 1, 1, 1]) + Tensor::arange(keys as i64, (Kind::Int64, device));
        let mut hidden = key.gt_tensor(&query);
        if let Some(window) = blocks.iter().find_map(|block| block.window) {
            hidden = hidden.logical_or(&key.le_tensor(&(query - window as i64)));
        }
        Group {
            blocks: count,
            rows,
            keys: keys as i64,
            tokens: tensor(&tokens),
            pages: tensor(&pages),
            hidden,
            real: padded.then(|| tensor(&real)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One run of `count` rows from `position` on, with all its pages from `held` on.
    fn shown(position: usize, count: usize, held: usize, window: Option<usize>) -> Vec<String> {
        let pages = (0..(position + count - held).div_ceil(PAGE) as u32).collect();
        let run = Run { token: 0, position, count, pages, held };
        let group = groups(&[run], 4, window, Device::Cpu).remove(0);
        let hidden = Vec::<Vec<bool>>::try_from(&group.hidden.view([group.rows, group.keys])).unwrap();
        hidden.iter().map(|row| row.iter().map(|&hidden| if hidden { '.' } else { 'x' }).collect()).collect()
    }

    #[test]
    fn full_layers_see_themselves_and_all_before() {
        assert_eq!(shown(0, 3, 0, None), ["x...............", "xx..............", "xxx............."]);
        assert_eq!(shown(14, 2, 0, None), ["xxxxxxxxxxxxxxx.", "xxxxxxxxxxxxxxxx"]);
    }

    #[test]
    fn sliding_layers_see_the_window_with_themselves_in_it() {
        assert_eq!(shown(0, 3, 0, Some(2)), ["x...............", "xx..............", ".xx............."]);
        assert_eq!(shown(20, 2, 16, Some(3)), ["..xxx...........", "...xxx.........."]);
        // Pages that none of the rows sees are left out.
        assert_eq!(shown(35, 1, 0, Some(3)), [".xxx............"]);
    }

    fn run(token: usize, position: usize, count: usize) -> Run {
        let pages = (0..(position + count).div_ceil(PAGE) as u32).collect();
        Run { token, position, count, pages, held: 0 }
    }

    /// Whatever is put together: a block that has fewer keys than one before it, and many that are short in rows and long in
    /// keys.
    #[test]
    fn a_group_is_bounded_in_scores_and_in_keys() {
        let heads = 64;
        let long = (0..1).map(|_| run(0, 4690, 10)).chain((0..6).map(|i| run(10 + 128 * i, 472, 128)));
        let deep = (0..40).map(|i| run(i, 20_000 + 100 * i, 1));
        let window = (0..40).map(|i| run(200 * i, 0, 200));
        for (runs, window) in [(long.collect::<Vec<_>>(), None), (deep.collect(), None), (window.collect(), Some(128))]
        {
            let groups = groups(&runs, heads, window, Device::Cpu);
            let rows: usize = runs.iter().map(|run| run.count).sum();
            let real = |group: &Group| group.real.as_ref().unwrap_or(&group.tokens).numel();
            assert_eq!(groups.iter().map(real).sum::<usize>(), rows);
            for Group { blocks, rows, keys, .. } in groups {
                let gathered = (blocks * keys) as usize;
                assert!(gathered * heads * rows as usize <= SCORES, "{blocks} x {rows} x {keys}");
                assert!(gathered <= KEYS, "{blocks} x {keys}");
            }
        }
    }

    #[test]
    fn padding_is_told_from_rows() {
        let runs = [run(0, 0, 1), run(1, 40, 1), run(2, 0, 3), run(5, 10, 5)];
        let groups = groups(&runs, 4, None, Device::Cpu);
        assert_eq!(groups.iter().map(|g| (g.blocks, g.rows, g.keys)).collect::<Vec<_>>(), [(2, 1, 48), (2, 5, 16)]);
        assert!(groups[0].real.is_none());
        let real = Vec::<i64>::try_from(groups[1].real.as_ref().unwrap()).unwrap();
        assert_eq!(real, [0, 1, 2, 5, 6, 7, 8, 9]);
        assert_eq!(Vec::<i64>::try_from(&groups[1].tokens).unwrap(), [2, 3, 4, 4, 4, 5, 6, 7, 8, 9]);
    }
}
