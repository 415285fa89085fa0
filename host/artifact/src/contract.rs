//! The versions of the contract that this host speaks, and their texts. A released text
//! never changes: plans that were built for it are run as long as its version is in
//! [`Contract::ALL`]. The text of the newest version may be the working one, until it is
//! released.

use serde::{Deserialize, Serialize};

/// The package of the contract.
pub const CONTRACT: &str = "fedwasm:training-plan";

/// A version of the contract that this host speaks. A plan built for another patch
/// release of it is the same to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Contract {
    /// 0.1, released as 0.1.0.
    #[serde(rename = "0.1")]
    V0_1,
    /// 0.2: tensors at the host.
    #[serde(rename = "0.2")]
    V0_2,
}

impl Contract {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V0_1, Self::V0_2];
    /// The one that new plans are built for.
    pub const NEWEST: Self = Self::V0_2;

    /// The version of its text.
    pub const fn version(self) -> semver::Version {
        match self {
            Self::V0_1 => semver::Version::new(0, 1, 0),
            Self::V0_2 => semver::Version::new(0, 2, 0),
        }
    }

    /// The whole text.
    pub(crate) const fn wit(self) -> &'static str {
        match self {
            Self::V0_1 => concat!(
                include_str!("../../../wit/released/0.1.0/world.wit"),
                include_str!("../../../wit/released/0.1.0/types.wit"),
                include_str!("../../../wit/released/0.1.0/store.wit"),
                include_str!("../../../wit/released/0.1.0/loader.wit"),
                include_str!("../../../wit/released/0.1.0/monitor.wit"),
                include_str!("../../../wit/released/0.1.0/plan.wit"),
            ),
            Self::V0_2 => concat!(
                include_str!("../../../wit/world.wit"),
                include_str!("../../../wit/types.wit"),
                include_str!("../../../wit/store.wit"),
                include_str!("../../../wit/loader.wit"),
                include_str!("../../../wit/monitor.wit"),
                include_str!("../../../wit/compute.wit"),
                include_str!("../../../wit/plan.wit"),
            ),
        }
    }

    /// The contract that a component was built for whose interfaces have this
    /// version; none if this host does not speak it.
    pub fn of(version: &str) -> Option<Self> {
        let wanted: semver::Version = version.parse().ok()?;
        // Before 1.0 each minor version is a contract of its own; from then on a later one has all
        // that an earlier one has.
        let is_same = |own: semver::Version| match own.major {
            0 => (wanted.major, wanted.minor) == (0, own.minor),
            major => wanted.major == major && wanted.minor <= own.minor,
        };
        Self::ALL.into_iter().find(|own| wanted.pre.is_empty() && is_same(own.version()))
    }

    /// Whether a plan that requires this of the contract can run here.
    pub fn meets(requirement: &semver::VersionReq) -> bool {
        Self::ALL.into_iter().any(|own| requirement.matches(&own.version()))
    }

    /// All versions in words, for people.
    pub fn spoken() -> String {
        Self::ALL.map(|own| own.to_string()).join(", ")
    }
}

impl std::fmt::Display for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.version().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use fedwasm_protocol::Digest;

    use super::*;

    /// The released texts, by version and file.
    const RELEASED: [(&str, [(&str, &str); 6]); 1] = [(
        "0.1.0",
        [
            ("loader.wit", "a93d654c9b451e86fa35c5d68a8235fde742304270ece1c9ab208a3e4583e476"),
            ("monitor.wit", "ec04c118184fdcf0a03288a79af2c198a03c46d1b509581d08b5e4db8b66ba51"),
            ("plan.wit", "81b054a8d5406d67673fd9f023b19a1016da34df137ae234f93ae3b9a566c3e5"),
            ("store.wit", "8376e5d6fc0e14b356297ff8cea203e996703a351dcd170d98a3fffc6e933fa2"),
            ("types.wit", "a8b27722ad4839ad4f4989a43d323bd8e9f5fcff3399ab5ac979ed16e4a1c3d6"),
            ("world.wit", "c172af27ea9c1cc14de45aea2f1ce3f781cd6a5919ad5f643de432eda4bdc31a"),
        ],
    )];

    /// The files of a directory and their digests.
    fn digests(dir: &Path) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let digest = |path: std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, Digest::of(&std::fs::read(&path).unwrap()).to_string())
        };
        files.filter(|path| path.is_file()).map(digest).collect()
    }

    fn wit() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
    }

    #[test]
    fn released_texts_never_change() {
        let folders = std::fs::read_dir(wit().join("released")).unwrap();
        let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut folders: Vec<String> = folders.collect();
        folders.sort();
        assert_eq!(folders, RELEASED.map(|(version, _)| version));
        for (version, files) in RELEASED {
            let wanted = files.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
            let got = digests(&wit().join("released").join(version));
            assert_eq!(got, BTreeMap::from(wanted), "{version} was released and is frozen");
        }
    }

    /// The working text is that of the newest version; once it is released, it is that text.
    #[test]
    fn working_text_of_a_released_version_is_the_released_text() {
        let world = std::fs::read_to_string(wit().join("world.wit")).unwrap();
        let package = format!("package {CONTRACT}@");
        let version = world.lines().find_map(|line| line.strip_prefix(&package)?.strip_suffix(';'));
        let version: semver::Version = version.unwrap().parse().unwrap();
        let released = wit().join("released").join(version.to_string());
        if released.exists() {
            assert_eq!(digests(&wit()), digests(&released), "{version} was released");
        } else {
            assert_eq!(version, Contract::NEWEST.version());
        }
    }

    #[test]
    fn only_these_tracks_of_the_contract_are_spoken() {
        for (version, spoken) in [
            ("0.1.0", true),
            ("0.1.7", true),
            ("0.2.0", true),
            ("0.3.0", false),
            ("1.1.0", false),
            ("x", false),
        ] {
            assert_eq!(Contract::of(version).is_some(), spoken, "{version}");
        }
        assert_eq!(Contract::of("0.1.0-rc.1"), None);
    }
}
