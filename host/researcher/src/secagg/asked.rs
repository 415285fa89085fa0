//! Who was asked for each run, in memory and on disk: the same run is never summed over other nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedwasm_privacy::{Parties, pad_round};
use fedwasm_protocol::{Digest, Mode, NodeId};
use fedwasm_record::{AskedNodes, keep_asked, load_asked};

use crate::Error;

/// The nodes that were asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    dir: Option<PathBuf>,
    /// By the number of the round's pads.
    runs: BTreeMap<u64, AskedNodes>,
}

impl Asked {
    /// Keeps them in the directory of an experiment too.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, runs: BTreeMap::new() }
    }

    /// The nodes that were asked for this run.
    pub(crate) fn of(
        &mut self,
        (round, mode): (u32, Mode),
        run: Digest,
    ) -> Result<Option<Vec<NodeId>>, Error> {
        let key = pad_round(round, mode);
        if let (None, Some(dir)) = (self.runs.get(&key), &self.dir)
            && let Some(asked) = load_asked(dir, (round, mode))?
        {
            self.runs.insert(key, asked);
        }
        let asked = self.runs.get(&key).filter(|asked| asked.run == run);
        Ok(asked.map(|asked| asked.parties.iter().cloned().collect()))
    }

    /// Writes down who is asked for this run.
    pub(crate) fn keep(
        &mut self,
        (round, mode): (u32, Mode),
        run: Digest,
        parties: &Parties,
    ) -> Result<(), Error> {
        let asked = AskedNodes { run, parties: parties.iter().cloned().collect() };
        if let Some(dir) = &self.dir {
            keep_asked(dir, (round, mode), &asked)?;
        }
        // Rounds before the last are over.
        self.runs.retain(|other, _| other / 2 + 1 >= u64::from(round));
        self.runs.insert(pad_round(round, mode), asked);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_run_keeps_its_nodes_and_another_one_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = |names: &[&str]| {
            Parties::new(names.iter().map(|name| name.parse().unwrap()), 3).unwrap()
        };
        let (run, other) = (Digest::of(b"run"), Digest::of(b"other"));
        let mut asked = Asked::new(Some(dir.path().to_owned()));
        assert_eq!(asked.of((1, Mode::Train), run).unwrap(), None);
        asked.keep((1, Mode::Train), run, &nodes(&["a", "b", "c"])).unwrap();
        // After a restart too.
        for mut asked in [asked, Asked::new(Some(dir.path().to_owned()))] {
            let known = asked.of((1, Mode::Train), run).unwrap().unwrap();
            assert_eq!(known, nodes(&["a", "b", "c"]).iter().cloned().collect::<Vec<_>>());
            assert_eq!(asked.of((1, Mode::Train), other).unwrap(), None);
            assert_eq!(asked.of((1, Mode::Validate), run).unwrap(), None);
        }
        let file = dir.path().join("secagg/round-0001-train.asked.json");
        std::fs::write(file, b"{").unwrap();
        let mut asked = Asked::new(Some(dir.path().to_owned()));
        assert!(asked.of((1, Mode::Train), run).is_err());
    }
}
