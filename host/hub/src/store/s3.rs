//! A bucket of S3: its address, the settings of the environment, and whether it does what a
//! repository needs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_transport::Cause;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    RetryConfig,
};

use super::https::Https;
use super::multipart::Multipart;
use super::nonce;
use crate::Error;

/// How long a request to the store is tried again. A client of the repository waits for so long
/// without an answer.
const RETRY_TIME_MAX: Duration = Duration::from_secs(20);
const RETRIES_MAX: usize = 8;
const BACKOFF: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_secs(5),
    base: 2.,
};

/// The address of a repository in S3, `s3://BUCKET/PREFIX`; the prefix may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: ObjectPath,
}

impl FromStr for Bucket {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Store { store: text.to_owned(), reason: reason.into() };
        let rest = text.strip_prefix("s3://");
        let rest = rest.ok_or_else(|| bad("a store is written as s3://BUCKET/PREFIX"))?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !(3..=63).contains(&name.len()) || !name.chars().all(is_allowed) {
            return Err(bad("a bucket has 3 to 63 letters, digits, dots and hyphens"));
        }
        let prefix = ObjectPath::parse(prefix).map_err(|error| bad(&error.to_string()))?;
        Ok(Self { name: name.to_owned(), prefix })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix)
    }
}

impl Bucket {
    pub(super) fn prefix(&self) -> &ObjectPath {
        &self.prefix
    }

    /// Opens it with the settings of the environment; nothing is sent yet.
    pub(super) fn open(&self) -> Result<(Arc<dyn ObjectStore>, Multipart), Cause> {
        let builder = AmazonS3Builder::from_env().with_bucket_name(&self.name);
        check_settings(&builder)?;
        let retry = RetryConfig {
            backoff: BACKOFF,
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIME_MAX,
        };
        let s3 = builder.with_retry(retry).with_http_connector(Https::new()?).build()?;
        let objects: Arc<dyn ObjectStore> = match self.prefix.as_ref() {
            "" => Arc::new(s3.clone()),
            _ => Arc::new(PrefixStore::new(s3.clone(), self.prefix.clone())),
        };
        Ok((objects, Multipart::new(s3, self.clone())))
    }
}

/// Whether credentials are there, and go over no line in the clear by mistake.
fn check_settings(builder: &AmazonS3Builder) -> Result<(), Cause> {
    use AmazonS3ConfigKey as Key;
    let get = |key: Key| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let has = |keys: &[Key]| keys.iter().all(|key| get(*key).is_some());
    let has_credentials = has(&[Key::AccessKeyId, Key::SecretAccessKey])
        || has(&[Key::WebIdentityTokenFile, Key::RoleArn])
        || has(&[Key::ContainerCredentialsRelativeUri])
        || has(&[Key::ContainerCredentialsFullUri, Key::ContainerAuthorizationTokenFile]);
    if !has_credentials {
        return Err("the environment has no credentials; set AWS_ACCESS_KEY_ID and \
                    AWS_SECRET_ACCESS_KEY"
            .into());
    }
    let endpoint = get(Key::S3Endpoint).or_else(|| get(Key::Endpoint)).unwrap_or_default();
    let may_be_clear = get(Key::Client(ClientConfigKey::AllowHttp)).is_some_and(|it| it == "true");
    if endpoint.starts_with("http://") && !may_be_clear {
        let text = format!(
            "{endpoint} is not encrypted; for a store on this machine, set AWS_ALLOW_HTTP=true"
        );
        return Err(text.into());
    }
    Ok(())
}

/// Writes, reads and deletes an object. A second conditional write of it must fail, since the
/// first one of two claims of an experiment has to win.
pub(super) async fn probe(objects: &dyn ObjectStore) -> Result<(), Cause> {
    let path = ObjectPath::from(format!("probe/{}", nonce()));
    let put = || objects.put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into());
    put().await?;
    let second = put().await;
    let read = objects.get(&path).await?.bytes().await?;
    objects.delete(&path).await?;
    match second {
        Err(object_store::Error::AlreadyExists { .. }) if read == b"1"[..] => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err("it overwrites an object in spite of `If-None-Match: *`; a store with \
                      conditional writes is needed"
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_and_perhaps_a_prefix() {
        for (text, name, prefix) in [
            ("s3://heart-study", "heart-study", ""),
            ("s3://heart-study/", "heart-study", ""),
            ("s3://heart.study/a/b", "heart.study", "a/b"),
        ] {
            let bucket: Bucket = text.parse().unwrap();
            assert_eq!((bucket.name.as_str(), bucket.prefix.as_ref()), (name, prefix));
        }
        for text in ["heart-study", "s3://", "s3://ab", "s3://a b c", "s3://abc/a//b", "file:///x"]
        {
            assert!(text.parse::<Bucket>().is_err(), "{text}");
        }
    }

    #[test]
    fn settings_without_credentials_or_encryption_are_refused() {
        let with = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(key, value)| (key.parse().unwrap(), *value));
            let builder = settings.fold(AmazonS3Builder::new(), |builder, (key, value)| {
                builder.with_config(key, value)
            });
            check_settings(&builder).map_err(|error| error.to_string())
        };
        let told = with(&[("aws_access_key_id", "secret-id")]).unwrap_err();
        assert!(told.contains("AWS_SECRET_ACCESS_KEY") && !told.contains("secret-id"), "{told}");
        let own = [("aws_access_key_id", "a"), ("aws_secret_access_key", "b")];
        let and = |more: &[(&'static str, &'static str)]| with(&[&own[..], more].concat());
        and(&[]).unwrap();
        and(&[("aws_endpoint_url", "https://s3.example")]).unwrap();
        let clear = ("aws_endpoint_url", "http://s3.example");
        let told = and(&[clear]).unwrap_err();
        assert!(told.contains("http://s3.example is not encrypted"), "{told}");
        and(&[clear, ("aws_allow_http", "true")]).unwrap();
    }
}
