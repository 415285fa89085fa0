//! Blobs of rounds that are over: the repository may delete them while the experiment goes on, so
//! that it holds a few rounds and not all of them.

use std::collections::BTreeMap;

use fedwasm_protocol::{Digest, Payload};

use super::Job;

/// Blobs are given up when so many, or so many bytes of them, are no longer needed: a request of
/// its own for each small round would cost more than it frees.
const GIVEN_UP_MAX: usize = 4_096;
const GIVEN_UP_BYTES: u64 = 16 << 20;

/// The blobs of an experiment's rounds, with their sizes.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    under_way: BTreeMap<Digest, u64>,
    /// Of the newest round that counts: late nodes may still fetch its parameters, and its updates
    /// are fetched again if they are asked for.
    newest: BTreeMap<Digest, u64>,
    /// Of all rounds before.
    over: BTreeMap<Digest, u64>,
}

impl GivenUp {
    /// A blob of the round under way.
    pub(crate) fn add(&mut self, digest: Digest, bytes: u64) {
        self.under_way.insert(digest, bytes);
    }

    /// A payload of the round under way, unless it rides in messages.
    pub(crate) fn add_payload(&mut self, payload: Option<&Payload>) {
        if let Some(payload) = payload.filter(|payload| matches!(payload.bytes(), Ok(None))) {
            self.add(payload.blob.sha256, payload.blob.size);
        }
    }

    /// The round counts. Returns the blobs to give up now, but for those that are still `needed`.
    fn count(&mut self, needed: &[Digest]) -> Vec<Digest> {
        self.over.append(&mut self.newest);
        self.newest = std::mem::take(&mut self.under_way);
        // Stored again by a later round, they are of that one.
        let newest = &self.newest;
        self.over.retain(|digest, _| !newest.contains_key(digest) && !needed.contains(digest));
        let bytes = self.over.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        if self.over.len() < GIVEN_UP_MAX && bytes < GIVEN_UP_BYTES {
            return Vec::new();
        }
        std::mem::take(&mut self.over).into_keys().collect()
    }
}

impl Job {
    /// Gives up the blobs of earlier rounds, after one counts. A job that resumes stores what it
    /// needs. A repository that keeps them longer does no harm.
    pub(crate) async fn give_up(&mut self) {
        for upload in self.uploads.values().filter(|upload| upload.inline.is_none()) {
            self.given_up.add(upload.blob.sha256, upload.blob.size);
        }
        for aux in self.training_replies.values().filter_map(|reply| reply.upload_aux) {
            self.given_up.add(aux, 0);
        }
        let released = self.given_up.count(&[self.plan.sha256, self.given.blob.sha256]);
        if released.is_empty() {
            return;
        }
        if let Err(error) = self.within_deadline(self.repository.release(&released)).await {
            tracing::debug!("{} blobs could not be given up: {error}", released.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn blobs_are_given_up_a_round_later_and_not_while_they_are_needed() {
        let (mut given_up, large) = (GivenUp::default(), GIVEN_UP_BYTES);
        let [plan, a, b, c] = ["plan", "a", "b", "c"].map(digest);
        given_up.add(plan, large);
        given_up.add(a, large);
        given_up.add(b, 1);
        assert_eq!(given_up.count(&[plan]), []);
        // The newest round is that of `c`, which stored `b` again.
        given_up.add(c, large);
        given_up.add(b, 1);
        assert_eq!(given_up.count(&[plan]), [a]);
        let mut rest = given_up.count(&[]);
        rest.sort();
        let mut expected = [b, c];
        expected.sort();
        assert_eq!(rest, expected);
    }

    #[test]
    fn small_blobs_are_given_up_many_at_once() {
        let mut given_up = GivenUp::default();
        let mut released = 0;
        for n in 0..2 * GIVEN_UP_MAX {
            given_up.add(digest(&n.to_string()), 100);
            let now = given_up.count(&[]).len();
            assert!(now == 0 || now == GIVEN_UP_MAX, "{now}");
            released += now;
        }
        assert_eq!(released, GIVEN_UP_MAX);
    }
}
