//! What frameworks really sent, to begin from.

use std::path::{Path, PathBuf};

/// Bodies of the captures, where they are to be found (`IMMUNE_CAPTURES`, else beside the workspace), in a fixed
/// order; those above `bytes_max` are left out.
pub fn captured(bytes_max: usize) -> Vec<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let captures = std::env::var_os("IMMUNE_CAPTURES").map_or(beside, PathBuf::from);
    let mut paths = Vec::new();
    for scenario in children(&captures).iter().flat_map(|capture| children(capture)) {
        paths.extend(children(&scenario).into_iter().filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().ends_with(".traces.pb"))
        }));
    }
    paths.sort();
    let bodies = paths
        .iter()
        .map(|path| std::fs::read(path).expect("a capture can be read"));
    bodies.filter(|body| body.len() <= bytes_max).collect()
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
