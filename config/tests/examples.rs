//! Every example is a document that works.

use std::{fs, path::Path};

use ig_config::runtime::{RuntimeConfig, load};

#[test]
fn every_example_loads_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = fs::read_dir(folder.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = examples.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut count = 0;
    for path in examples {
        let loaded = load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", path.display(), loaded.warnings);
        assert_ne!(loaded.config, RuntimeConfig::default(), "{} says nothing", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("examples/{name}`")), "{name} is not in README.md");
        count += 1;
    }
    assert_eq!(count, 6);
}
