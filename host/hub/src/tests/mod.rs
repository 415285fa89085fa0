//! Both ends: the promises of transport's clients and these servers to each other.

mod conformance;
mod line;
mod link;
mod repository;

use std::sync::Arc;

use fedwasm_transport::{BrokerUrl, Error, Link, LinkOptions, Repository};
use fedwasm_trust::{Authority, Identity, Member};

use crate::{Broker, PruneOptions, QUOTA_BYTES, RepositoryOptions, RepositoryServer, Store};

/// A federation with or without certificates.
struct Net {
    dir: tempfile::TempDir,
    authority: Arc<Authority>,
    broker: Broker,
    url: BrokerUrl,
    repository: RepositoryServer,
    repository_url: String,
}

async fn net(tls: bool) -> Net {
    net_with(tls, QUOTA_BYTES).await
}

async fn net_with(tls: bool, quota_bytes: u64) -> Net {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("net");
    let hosts = ["127.0.0.1".to_owned()];
    let authority = match tls {
        true => Authority::create_with_tls(&home, "test", &hosts),
        false => Authority::create(&home, "test"),
    };
    let authority = Arc::new(authority.unwrap());
    let address = ([127, 0, 0, 1], 0).into();
    let broker = Broker::start(address, &authority).await.unwrap();
    let authority_of_repository = Arc::clone(&authority);
    let repository = RepositoryServer::start(RepositoryOptions {
        address,
        store: Store::files(dir.path()).unwrap(),
        authority: authority_of_repository,
        quota_bytes,
        prune: PruneOptions::default(),
    });
    let repository = repository.await.unwrap();
    let s = if tls { "s" } else { "" };
    let url = format!("mqtt{s}://{}", broker.address()).parse().unwrap();
    let repository_url = format!("http{s}://{}", repository.address());
    Net { dir, authority, broker, url, repository, repository_url }
}

impl Net {
    fn member(&self, who: &str) -> Arc<Member> {
        let dir = self.dir.path().join(who);
        if dir.exists() {
            return Arc::new(Member::open(&dir).unwrap());
        }
        let identity = Identity::create(&dir, who.parse().unwrap()).unwrap();
        let membership = self.authority.enrol(&identity.participant, identity.key.public());
        Arc::new(identity.join(&membership.unwrap()).unwrap())
    }

    async fn link(&self, who: &str) -> Result<Link, Error> {
        let (url, member) = (self.url.clone(), self.member(who));
        let repository = self.repository_url.parse().unwrap();
        let repository = Repository::new(repository, Some(&member)).unwrap();
        Link::connect(LinkOptions::mqtt(url, member, repository)).await
    }

    async fn stop(self) {
        self.broker.stop().await;
        self.repository.stop().await;
    }
}
