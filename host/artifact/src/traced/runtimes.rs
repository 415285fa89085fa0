//! The runtimes that this release knows: those that releases shipped, and the one that it ships.

use fedwasm_protocol::Digest;

/// A runtime of traced plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// The version that its component states.
    pub version: &'static str,
    /// SHA-256 of the component, in hexadecimal digits.
    pub sha256: &'static str,
}

/// All known ones, the newest last. A graph on one of these is all that its plan does. An entry stays once
/// a release has shipped it; until then a new build of `plugins/traced` replaces the last one.
pub const RUNTIMES: [Runtime; 1] = [Runtime {
    version: "0.1.0",
    sha256: "8809e192c079ff39297c8a7d17f7a8b8ece9e12932b2d7ed5137a9fd2a27785b",
}];

/// The newest, as a component.
pub const NEWEST: &[u8] = include_bytes!("../../../../plugins/dist/traced.wasm");

/// Returns the version of a runtime that is known.
pub(super) fn version(sha256: &Digest) -> Option<&'static str> {
    let sha256 = sha256.to_string();
    RUNTIMES.iter().find(|known| known.sha256 == sha256).map(|known| known.version)
}
