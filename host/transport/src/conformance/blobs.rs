//! Promises of [`Blobs`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, ExperimentId, Participant};

use crate::Error;
use crate::port::{Blobs, Label};

/// A network that keeps blobs, and whose lines can be cut.
pub trait BlobsUnderTest: Sync {
    /// The network as this participant reaches it, who may be a new one and is on the roster.
    fn blobs(&self, who: &Participant) -> Arc<dyn Blobs>;
    /// How many bytes a participant can store at most, from 16 MiB.
    fn room(&self) -> u64;
    /// Cuts the line of a participant.
    fn cut(&self, who: &Participant);
    /// Mends it.
    fn mend(&self, who: &Participant);
}

/// Holds a network to all promises.
pub async fn blobs(net: &impl BlobsUnderTest) {
    what_is_stored_comes_back(net).await;
    absent_blobs_are_not_found(net).await;
    bytes_of_another_digest_are_not_stored(net).await;
    blobs_are_for_their_recipients(net).await;
    an_experiment_is_its_researcher_s(net).await;
    a_finished_experiment_takes_nothing_until_it_is_reopened(net).await;
    what_is_given_up_stays_for_others(net).await;
    a_transfer_that_is_dropped_leaves_all_or_nothing(net).await;
    a_cut_line_is_an_error_that_passes(net).await;
    more_than_there_is_room_for_is_refused(net).await;
}

fn participant(who: &str) -> Participant {
    who.parse().unwrap()
}

async fn put(blobs: &dyn Blobs, bytes: &[u8], label: Label<'_>) -> Result<BlobRef, Error> {
    let blob = BlobRef::of(bytes);
    blobs.put(&blob, Bytes::copy_from_slice(bytes), label).await.map(|()| blob)
}

fn status(result: Result<impl Sized, Error>) -> u16 {
    match result {
        Err(Error::Repository { status, .. }) => status,
        Err(error) => panic!("{error}"),
        Ok(_) => 200,
    }
}

/// Bytes come back as they were, however many, and can be stored again.
pub async fn what_is_stored_comes_back(net: &impl BlobsUnderTest) {
    let a = net.blobs(&participant("node-store-a"));
    let large: Vec<u8> = (0..(1u32 << 20) + 1).map(|n| (n >> 9) as u8).collect();
    for bytes in [&[], &[1, 2, 3][..], &large, &[1, 2, 3]] {
        let blob = put(&*a, bytes, Label::default()).await.unwrap();
        assert!(a.get(&blob).await.unwrap() == bytes);
    }
    // Never more than is announced.
    let BlobRef { sha256, .. } = BlobRef::of(&large);
    let short = BlobRef { sha256, size: 10 };
    assert!(matches!(a.get(&short).await, Err(Error::WrongSize { expected: 10, .. })));
}

/// Status 404.
pub async fn absent_blobs_are_not_found(net: &impl BlobsUnderTest) {
    let a = net.blobs(&participant("node-absent-a"));
    assert_eq!(status(a.get(&BlobRef::of(b"absent")).await), 404);
}

/// Status 422, and nothing is there.
pub async fn bytes_of_another_digest_are_not_stored(net: &impl BlobsUnderTest) {
    let a = net.blobs(&participant("node-digest-a"));
    let blob = BlobRef::of(b"right");
    let stored = a.put(&blob, Bytes::from_static(b"wrong"), Label::default()).await;
    assert_eq!(status(stored), 422);
    assert_eq!(status(a.get(&blob).await), 404);
}

/// Others learn nothing of a blob; its recipients and the one who stored it can fetch it.
pub async fn blobs_are_for_their_recipients(net: &impl BlobsUnderTest) {
    let names = ["node-for-a", "node-for-b", "researcher-for-c"].map(participant);
    let [a, b, c] = [0, 1, 2].map(|n| net.blobs(&names[n]));
    let label = Label { experiment: None, recipients: &names[1..2] };
    let blob = put(&*a, b"for b", label).await.unwrap();
    assert_eq!(a.get(&blob).await.unwrap(), b.get(&blob).await.unwrap());
    assert_eq!(status(c.get(&blob).await), 404);
    // Storing them again also admits further recipients.
    let label = Label { experiment: None, recipients: &names[2..] };
    put(&*a, b"for b", label).await.unwrap();
    assert_eq!(c.get(&blob).await.unwrap(), "for b");
}

/// No other participant stores in its name or ends it, except blobs for its researcher.
pub async fn an_experiment_is_its_researcher_s(net: &impl BlobsUnderTest) {
    let names = ["researcher-own-a", "researcher-own-b", "node-own-c"].map(participant);
    let [a, b, c] = [0, 1, 2].map(|n| net.blobs(&names[n]));
    let experiment: ExperimentId = "conformance-own".parse().unwrap();
    let own = Label { experiment: Some(&experiment), recipients: &[] };
    // A node opens none.
    assert_eq!(status(put(&*c, b"1", own).await), 403);
    put(&*a, b"2", own).await.unwrap();
    for other in [&b, &c] {
        assert_eq!(status(put(&**other, b"3", own).await), 403);
        assert_eq!(status(other.finish(&experiment).await), 403);
    }
    let for_a = Label { experiment: Some(&experiment), recipients: &names[..1] };
    let blob = put(&*c, b"4", for_a).await.unwrap();
    assert_eq!(a.get(&blob).await.unwrap(), "4");
}

/// Status 409 for all participants; only its researcher reopens it.
pub async fn a_finished_experiment_takes_nothing_until_it_is_reopened(net: &impl BlobsUnderTest) {
    let names = ["researcher-over-a", "node-over-b"].map(participant);
    let [a, b] = [0, 1].map(|n| net.blobs(&names[n]));
    let experiment: ExperimentId = "conformance-over".parse().unwrap();
    let label = Label { experiment: Some(&experiment), recipients: &names[..1] };
    // A new experiment is open.
    a.reopen(&experiment).await.unwrap();
    put(&*a, b"1", label).await.unwrap();
    a.finish(&experiment).await.unwrap();
    assert_eq!(status(put(&*a, b"2", label).await), 409);
    assert_eq!(status(put(&*b, b"2", label).await), 409);
    assert_eq!(status(b.reopen(&experiment).await), 403);
    a.reopen(&experiment).await.unwrap();
    put(&*b, b"2", label).await.unwrap();
    a.finish(&experiment).await.unwrap();
}

/// Blobs that an experiment gave up are there for another one that has them, and only its
/// researcher may give them up.
pub async fn what_is_given_up_stays_for_others(net: &impl BlobsUnderTest) {
    let ids: [ExperimentId; 2] = ["released-a", "released-b"].map(|id| id.parse().unwrap());
    let (a, b) = (participant("researcher-released-a"), participant("researcher-released-b"));
    let (a, b) = (net.blobs(&a), net.blobs(&b));
    let of = |experiment| Label { experiment: Some(experiment), recipients: &[] };
    let shared = put(&*a, b"released by one of two", of(&ids[0])).await.unwrap();
    put(&*b, b"released by one of two", of(&ids[1])).await.unwrap();
    let own = put(&*a, b"released by its only one", of(&ids[0])).await.unwrap();
    assert_eq!(status(b.release(&ids[0], &[shared.sha256]).await), 403);
    a.release(&ids[0], &[shared.sha256, own.sha256]).await.unwrap();
    // Again, and what never was.
    a.release(&ids[0], &[own.sha256, BlobRef::of(b"never").sha256]).await.unwrap();
    assert_eq!(b.get(&shared).await.unwrap(), "released by one of two");
    // Stored again, it is there again.
    put(&*a, b"released by its only one", of(&ids[0])).await.unwrap();
    assert_eq!(a.get(&own).await.unwrap(), "released by its only one");
}

/// A transfer that is dropped on its way leaves the whole blob or nothing, and can be done again.
pub async fn a_transfer_that_is_dropped_leaves_all_or_nothing(net: &impl BlobsUnderTest) {
    let a = net.blobs(&participant("node-drop-a"));
    for (n, time) in [0, 1, 5, 20].into_iter().enumerate() {
        let bytes = vec![n as u8; 3 << 20];
        let time = Duration::from_millis(time);
        let dropped = tokio::time::timeout(time, put(&*a, &bytes, Label::default())).await;
        let blob = BlobRef::of(&bytes);
        match a.get(&blob).await {
            Ok(got) => assert!(got == bytes),
            Err(error) => {
                assert!(dropped.is_err(), "what was stored is gone: {error}");
                assert_eq!(status(Err::<(), _>(error)), 404);
            }
        }
        put(&*a, &bytes, Label::default()).await.unwrap();
        let _ = tokio::time::timeout(time, a.get(&blob)).await;
        assert!(a.get(&blob).await.unwrap() == bytes);
    }
}

/// Without a line there is a temporary error, and stored blobs stay.
pub async fn a_cut_line_is_an_error_that_passes(net: &impl BlobsUnderTest) {
    let who = participant("node-cut-a");
    let a = net.blobs(&who);
    let blob = put(&*a, b"before", Label::default()).await.unwrap();
    net.cut(&who);
    let error = put(&*a, b"meanwhile", Label::default()).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    let error = a.get(&blob).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    net.mend(&who);
    assert_eq!(a.get(&blob).await.unwrap(), "before");
    put(&*a, b"meanwhile", Label::default()).await.unwrap();
}

/// Status 507, and smaller blobs still find room.
pub async fn more_than_there_is_room_for_is_refused(net: &impl BlobsUnderTest) {
    let a = net.blobs(&participant("node-room-a"));
    let bytes = vec![9; usize::try_from(net.room()).unwrap() + 1];
    assert_eq!(status(put(&*a, &bytes, Label::default()).await), 507);
    assert_eq!(status(a.get(&BlobRef::of(&bytes)).await), 404);
    put(&*a, b"small", Label::default()).await.unwrap();
}
