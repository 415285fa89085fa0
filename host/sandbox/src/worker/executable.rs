//! The program that workers run.

use std::path::{Path, PathBuf};

/// Its name.
const PROGRAM: &str = "fedwasm";

/// Finds the program that workers run: this one if it is `fedwasm`, else the
/// one beside it, else the one on `PATH`.
pub(crate) fn find_program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    if own.as_deref().and_then(Path::file_stem).is_some_and(|name| name == PROGRAM) {
        // Stays the same program when its file is replaced.
        let itself = Path::new("/proc/self/exe");
        return if itself.exists() { Some(itself.to_owned()) } else { own };
    }
    // Test binaries lie one directory below the programs that cargo builds.
    let beside = own.as_deref().and_then(Path::parent).into_iter().flat_map(|dir| {
        let above = dir.parent().filter(|_| dir.ends_with("deps"));
        above.into_iter().chain([dir]).map(|dir| dir.join(PROGRAM))
    });
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(PROGRAM))
        .collect::<Vec<_>>();
    beside.chain(on_path).find(|path| path.is_file())
}
