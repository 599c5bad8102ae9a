//! The seeds of the fuzz targets, and what these have found, hold what the targets assert.

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, check) in checks::TARGETS {
        let folder = root.join(target);
        let seeds = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for seed in seeds.map(|seed| seed.unwrap().path()) {
            println!("{}", seed.display());
            check(&fs::read(&seed).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }
}
