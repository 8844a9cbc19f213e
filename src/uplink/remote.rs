//! What a step may want from the network, by way of this node's configuration and registration.
//!
//! Everything is set up when it is first asked for: a document that needs no network reads
//! neither keys nor certificates.

use super::client::Client;
use super::clock::Clock;
use super::endpoint;
use super::fetch::{Trouble, again, fetch};
use super::logs::{self, Logs};
use super::s3::{self, S3};
use super::s3_sign::Access;
use super::ssm::instance::Instance;
use super::ssm::{Ssm, trouble};
#[cfg(feature = "session")]
use super::{UplinkError, websocket::WebSocket};
use super::{budget, page, s3_text};
use crate::config::{self, Config};
use crate::document::remote::{
    Done, LogStream, Page, Parameter, Patience, Place, Remote, RemoteError, S3Object,
};
use crate::identity::Registration;
use std::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// GitHub's own interface.
const GITHUB: &str = "https://api.github.com";

/// The network, as far as this node's configuration and registration lead.
pub struct Network {
    config_path: Option<PathBuf>,
    state: Option<PathBuf>,
    config: OnceCell<Config>,
    ssm: OnceCell<Arc<Ssm>>,
    client: OnceCell<Client>,
    s3: OnceCell<S3>,
}

impl Network {
    /// With the configuration in `config`, or the usual one, and the registration in `state`, or
    /// in the folder that the configuration names. Nothing is read yet.
    pub fn new(config: Option<&Path>, state: Option<&Path>) -> Network {
        Network {
            config_path: config.map(Path::to_owned),
            state: state.map(Path::to_owned),
            config: OnceCell::new(),
            ssm: OnceCell::new(),
            client: OnceCell::new(),
            s3: OnceCell::new(),
        }
    }

    fn config(&self) -> Result<&Config, RemoteError> {
        kept(&self.config, || {
            let loaded = config::load(self.config_path.as_deref(), &[config::DEFAULT_PATH]);
            let config = loaded.map(|loaded| loaded.config).map_err(|error| error.to_string())?;
            let state = self.state.as_deref().unwrap_or(&config.state_dir);
            super::prepare(&config, state, false)?;
            Ok(config)
        })
    }

    fn ssm(&self) -> Result<&Arc<Ssm>, RemoteError> {
        let config = self.config()?;
        kept(&self.ssm, || {
            let state = self.state.as_deref().unwrap_or(&config.state_dir);
            let found = Registration::load(state);
            if let Some(instance) = Instance::wanted(&config.identity, found.is_ok()) {
                let uplink = Ssm::of_instance(config, state, instance);
                return uplink.map(Arc::new).map_err(|error| error.to_string());
            }
            let registration = found.map_err(|error| error.to_string())?;
            let uplink = Ssm::new(config, state, registration);
            uplink.map(Arc::new).map_err(|error| error.to_string())
        })
    }

    /// The way to data channels, for a thread of its own.
    #[cfg(feature = "session")]
    pub fn data_channels(&self) -> DataChannels {
        let (config, state) = (self.config_path.clone(), self.state.clone());
        DataChannels { ssm: self.ssm().ok().cloned(), config, state }
    }

    fn client(&self) -> Result<&Client, RemoteError> {
        let config = self.config()?;
        Ok(self.client.get_or_init(|| {
            // The registration's, too: S3 may be in the same cellar as the server.
            let registered = || self.ssm().ok().and_then(|ssm| ssm.ca_file());
            Client::new(config.ca_file.clone().or_else(registered))
        }))
    }

    /// The way to S3, with access keys that are good now: a long download outlives some.
    fn s3(&self) -> Result<&S3, Trouble> {
        let config = self.config()?;
        let ssm = self.ssm();
        if self.s3.get().is_none() {
            let server = config.endpoints.s3.clone();
            let server = server.map(|url| endpoint::allowed(url, config)).transpose();
            let s3 = S3 {
                endpoint: server.map_err(|error| RemoteError::Unusable(error.to_string()))?,
                region: ssm
                    .as_ref()
                    .ok()
                    .map(|ssm| ssm.region().to_owned())
                    .or_else(|| config.region.clone()),
                access: RefCell::default(),
                clock: Clock::default(),
                regions: RefCell::default(),
            };
            let _ = self.s3.set(s3);
        }
        let s3 = self.s3.get().ok_or_else(|| RemoteError::NoServer(String::new()))?;
        let access = match (&config.s3_credentials_file, ssm) {
            (Some(path), _) => {
                let access = Access::read(path);
                Some(access.map_err(|error| RemoteError::Unusable(error.to_string()))?)
            }
            // AWS has no use for what a hub has made up, and it is no business of AWS's.
            (None, Ok(ssm)) if s3.endpoint.is_some() || ssm.is_aws() => {
                Some(access_for(ssm, s3.endpoint.as_deref().unwrap_or_default())?)
            }
            _ => None,
        };
        *s3.access.borrow_mut() = access;
        Ok(s3)
    }

    /// The way to CloudWatch Logs: where the configuration says, or at AWS beside this node's
    /// server.
    fn logs(&self) -> Result<Logs<'_>, RemoteError> {
        let config = self.config()?;
        let ssm = self.ssm();
        let region = ssm.as_ref().ok().map(|ssm| ssm.region().to_owned());
        let region = region.or_else(|| config.region.clone()).unwrap_or_default();
        let endpoint = match (&config.endpoints.logs, &ssm) {
            (Some(url), _) => url.clone(),
            (None, Ok(ssm)) if ssm.is_aws() => endpoint::at_aws(logs::SERVICE, &region),
            _ => {
                let what = "it is not configured on this device; endpoints.logs names its server";
                return Err(RemoteError::Unusable(what.to_owned()));
            }
        };
        let endpoint = endpoint::allowed(endpoint, config)
            .map_err(|error| RemoteError::Unusable(error.to_string()))?;
        Ok(Logs {
            region,
            access: match &config.s3_credentials_file {
                Some(path) => {
                    Access::read(path).map_err(|error| RemoteError::Unusable(error.to_string()))?
                }
                None => access_for(ssm?, &endpoint).map_err(Trouble::into_error)?,
            },
            endpoint,
            clock: Clock::default(),
            client: self.client()?,
        })
    }
}

/// The way to the data channels of sessions.
#[cfg(feature = "session")]
pub struct DataChannels {
    /// Once it could be set up; until then that is tried with each channel.
    ssm: Option<Arc<Ssm>>,
    config: Option<PathBuf>,
    state: Option<PathBuf>,
}

#[cfg(feature = "session")]
impl DataChannels {
    /// Opens the data channel of a session.
    ///
    /// # Errors
    /// See [`Ssm::open_data_channel`]; or there is no server.
    pub fn open(&mut self, session: &str) -> Result<WebSocket, UplinkError> {
        let ssm = match &self.ssm {
            Some(ssm) => ssm,
            None => {
                let network = Network::new(self.config.as_deref(), self.state.as_deref());
                let ssm = network.ssm().map_err(|error| UplinkError::Local(error.to_string()))?;
                self.ssm.insert(ssm.clone())
            }
        };
        ssm.open_data_channel(session)
    }
}

/// Whether the day's budget allows that a file is sent.
fn admit(file: &Path) -> Done {
    budget::admit(fs::metadata(file).ok().map(|meta| meta.len()))
}

/// The node's temporary credentials, if they may be used at `endpoint`: what a hub has made up is
/// no business of AWS's.
fn access_for(ssm: &Ssm, endpoint: &str) -> Result<Access, Trouble> {
    if !ssm.is_aws() && endpoint::is_at_aws(endpoint) {
        let what = format!(
            "{endpoint} is AWS's, and this node's server is not: its credentials are no good \
             there; name a file with an access key of AWS's in s3CredentialsFile"
        );
        return Err(RemoteError::Unusable(what).into());
    }
    ssm.access().map_err(trouble)
}

/// What is there already, or is made now. What can't be made is tried again the next time: a session outlives the
/// moment in which a file couldn't be read or a metadata service didn't answer.
fn kept<T>(
    cell: &OnceCell<T>,
    make: impl FnOnce() -> Result<T, String>,
) -> Result<&T, RemoteError> {
    if cell.get().is_none() {
        let _ = cell.set(make().map_err(RemoteError::NoServer)?);
    }
    cell.get().ok_or_else(|| RemoteError::NoServer(String::new()))
}

impl Remote for Network {
    fn admit(&self) -> Result<(), RemoteError> {
        // It brings the budget along. One that can't be read is told of by whoever needs more of it.
        let _ = self.config();
        budget::admit(None)
    }

    fn config_path(&self) -> Option<&Path> {
        self.config_path.as_deref()
    }

    fn parameters(
        &self,
        names: &[&str],
        decrypt: bool,
        patience: &Patience,
    ) -> Result<Vec<Parameter>, RemoteError> {
        self.ssm()?.parameters(names, decrypt, patience)
    }

    fn document(
        &self,
        name: &str,
        version: Option<&str>,
        patience: &Patience,
    ) -> Result<String, RemoteError> {
        self.ssm()?.document(name, version, patience)
    }

    fn fetch(&self, page: &Page<'_>, place: &Place<'_>, patience: &Patience) -> Done {
        fetch(self.client()?, page::bare(page.url), place, patience, &mut |http, rest| {
            page::ask(http, page, rest)
        })
    }

    fn read(&self, page: &Page<'_>, patience: &Patience) -> Result<String, RemoteError> {
        let client = self.client()?;
        again(patience, &mut || (client.run(patience, &mut |http| page::read(http, page)), false))
    }

    fn s3_object(&self, url: &str) -> Result<S3Object, RemoteError> {
        let server = self.config()?.endpoints.s3.as_deref();
        s3_text::parse_url(url, server).ok_or_else(|| {
            let what = format!(
                "{} is no URL of an object in S3; it is \
                 https://BUCKET.s3.REGION.amazonaws.com/KEY, or begins with endpoints.s3 of the \
                 configuration",
                page::bare(url)
            );
            RemoteError::Unusable(what)
        })
    }

    fn s3_list(&self, prefix: &S3Object, patience: &Patience) -> Result<Vec<String>, RemoteError> {
        let client = self.client()?;
        again(patience, &mut || {
            (client.run(patience, &mut |http| self.s3()?.list(http, prefix)), false)
        })
    }

    fn s3_get(&self, object: &S3Object, place: &Place<'_>, patience: &Patience) -> Done {
        fetch(self.client()?, &s3::name(object), place, patience, &mut |http, rest| {
            self.s3()?.get(http, object, rest)
        })
    }

    fn s3_put(&self, object: &S3Object, file: &Path, patience: &Patience) -> Done {
        let client = self.client()?;
        admit(file)?;
        again(patience, &mut || {
            (client.run(patience, &mut |http| self.s3()?.put(http, object, file)), false)
        })
    }

    fn log(&self, stream: &LogStream, file: &Path, patience: &Patience) -> Done {
        let logs = self.logs()?;
        admit(file)?;
        logs.add(stream, file, patience)
    }

    #[cfg(feature = "session")]
    fn transcript(&self, session: &str, file: &Path, patience: &Patience) -> Done {
        let ssm = self.ssm()?;
        admit(file)?;
        ssm.put_transcript(session, file, patience)
    }

    fn github(&self) -> Result<String, RemoteError> {
        let config = self.config()?;
        let base = config.endpoints.github.clone().unwrap_or_else(|| GITHUB.to_owned());
        endpoint::allowed(base, config).map_err(|error| RemoteError::Unusable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyPair;
    use crate::testing::Folder;
    use stint_wire::keys::KeyType;
    use stint_wire::time::Utc;

    fn registration() -> Registration {
        Registration {
            instance_id: "mi-0123456789abcdef0".into(),
            region: "eu-west-1".into(),
            // Nobody listens there: whoever asks for credentials gets no answer.
            endpoint: Some("http://127.0.0.1:1".into()),
            ca_file: None,
            fingerprint: "f".into(),
            registered_at: Utc(0),
            key_made_at: Utc(0),
            hardware: String::new(),
            key: KeyPair::generate(KeyType::Ed25519).unwrap(),
        }
    }

    #[test]
    fn what_could_not_be_set_up_once_is_tried_again() {
        let folder = Folder::new();
        let config = folder.path().join("config.json");
        let network = Network::new(Some(&config), Some(folder.path()));
        assert!(network.config().is_err() && network.ssm().is_err());
        fs::write(&config, "{}").unwrap();
        assert!(network.config().is_ok() && network.ssm().is_err());
        #[cfg(feature = "session")]
        let mut channels = network.data_channels();
        #[cfg(feature = "session")]
        assert!(matches!(channels.open("s-1"), Err(UplinkError::Local(_))));
        registration().save(folder.path()).unwrap();
        let node = network.ssm().ok().map(|ssm| ssm.node_id());
        assert_eq!(node, Some(registration().instance_id));
        #[cfg(feature = "session")]
        assert!(matches!(channels.open("s-1"), Err(UplinkError::Unreachable { .. })));
    }

    #[test]
    fn a_hubs_credentials_are_used_for_nothing_at_aws() {
        let ssm = Ssm::new(&Config::default(), Path::new(""), registration()).unwrap();
        let error = |url| access_for(&ssm, url).err().unwrap().into_error();
        for url in ["https://s3.amazonaws.com", "https://logs.cn-north-1.amazonaws.com.cn"] {
            let error = error(url);
            assert!(
                matches!(&error, RemoteError::Unusable(what) if what.contains("s3CredentialsFile"))
            );
        }
        assert!(matches!(error("https://minio.example"), RemoteError::Unreachable { .. }));
    }
}
