//! The identity of an EC2 instance: its id and region, and its role's credentials, from the instance
//! metadata service, version 2.
//!
//! Requests are signed with the role's credentials as with any temporary ones; there is no key of
//! the node's own, and nothing to register.

use super::super::UplinkError;
use super::super::http::{self, Http};
use super::super::source::read_all;
use super::credentials::Credentials;
use crate::config::Identity;
use crate::identity::{KeyPair, Registration};
use crate::sys::clock;
use miniserde::{Deserialize, json};
use std::time::Duration;
use stint_wire::keys::KeyType;
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// Where the service is. The variable of AWS's own programs and the configuration name another.
const ENDPOINT: &str = "http://169.254.169.254";
const ENDPOINT_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// AWS's own programs don't ask either when this is `true`.
const DISABLED_VARIABLE: &str = "AWS_EC2_METADATA_DISABLED";

/// The service is on the same host.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds that a session with the service lasts: one round of questions.
const SESSION: &str = "60";

/// An answer larger than this isn't the service's, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

const DOCUMENT: &str = "dynamic/instance-identity/document";
const ROLES: &str = "meta-data/iam/security-credentials/";

/// The metadata service of this instance.
pub struct Instance {
    base: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "instanceId")]
    instance_id: String,
    region: String,
}

#[derive(Deserialize)]
struct Role {
    #[serde(rename = "AccessKeyId")]
    access_key: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "Token")]
    token: String,
    #[serde(rename = "Expiration")]
    expiration: String,
}

impl Instance {
    /// The service that is to be asked who this device is, `registered` or not; `None` if its
    /// identity comes from elsewhere.
    pub fn wanted(config: &Identity, registered: bool) -> Option<Instance> {
        config.wants_instance(registered).then(|| Instance::likely(config)).flatten()
    }

    /// The service, if this is an instance as far as can be told without asking, or somebody has
    /// named a service.
    fn likely(config: &Identity) -> Option<Instance> {
        if std::env::var(DISABLED_VARIABLE).is_ok_and(|word| word.eq_ignore_ascii_case("true")) {
            return None;
        }
        let named = config.metadata_endpoint.clone();
        let named = named.or_else(|| std::env::var(ENDPOINT_VARIABLE).ok());
        let base = match named.filter(|url| !url.is_empty()) {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if looks_like_one() => ENDPOINT.to_owned(),
            None => return None,
        };
        Some(Instance { base })
    }

    /// Whether the service is there: it hands out a session.
    #[cfg(feature = "serial")]
    pub fn answers(&self) -> bool {
        self.session(&Http::trusting(Vec::new())).is_ok()
    }

    /// Who this instance is. Its registration is in no file, and its key signs nothing.
    ///
    /// # Errors
    /// The service doesn't answer, or not as it should.
    pub fn identify(&self) -> Result<Registration, UplinkError> {
        let http = Http::trusting(Vec::new());
        let session = self.session(&http)?;
        let text = self.get(&http, &session, DOCUMENT)?;
        let document: Document = json::from_str(&text).map_err(|_| bad("it names no instance"))?;
        let now = clock::system();
        Ok(Registration {
            fingerprint: document.instance_id.clone(),
            instance_id: document.instance_id,
            region: document.region,
            endpoint: None,
            ca_file: None,
            registered_at: now,
            key_made_at: now,
            hardware: String::new(),
            key: KeyPair::generate(KeyType::Ed25519)
                .map_err(|error| UplinkError::Local(error.to_string()))?,
        })
    }

    /// The credentials of the instance's role, which last until the service's word.
    ///
    /// # Errors
    /// The service doesn't answer, or the instance has no role.
    pub fn credentials(&self, http: &Http) -> Result<(Credentials, Utc), UplinkError> {
        let session = self.session(http)?;
        let roles = self.get(http, &session, ROLES)?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let path = Zeroizing::new(self.get(http, &session, &format!("{ROLES}{role}"))?);
        let role: Role = json::from_str(&path).map_err(|_| bad("it holds no credentials"))?;
        let expires = Utc::parse_iso(&role.expiration);
        let expires = expires.ok_or_else(|| bad("the credentials have no end"))?;
        Ok((Credentials::new(role.access_key, role.secret, role.token), expires))
    }

    fn session(&self, http: &Http) -> Result<Zeroizing<String>, UplinkError> {
        let url = format!("{}/latest/api/token", self.base);
        let request =
            http.direct().put(&url).header("x-aws-ec2-metadata-token-ttl-seconds", SESSION);
        let request = request.config().timeout_global(Some(PATIENCE)).build();
        self.read(request.send_empty()).map(Zeroizing::new)
    }

    fn get(&self, http: &Http, session: &str, path: &str) -> Result<String, UplinkError> {
        let url = format!("{}/latest/{path}", self.base);
        let request = http.direct().get(&url).header("x-aws-ec2-metadata-token", session);
        self.read(request.config().timeout_global(Some(PATIENCE)).build().call())
    }

    fn read(&self, answer: Result<http::Response, http::HttpError>) -> Result<String, UplinkError> {
        let unreachable = |cause| UplinkError::Unreachable { endpoint: self.base.clone(), cause };
        let answer = answer.map_err(|error| unreachable(http::no_answer(error)))?;
        match http::status(&answer) {
            200 => {}
            404 => return Err(bad("the instance has no role; attach an instance profile")),
            _ => return Err(bad("it refuses to answer")),
        }
        let text = read_all(&mut *http::into_reader(answer), MAX_ANSWER);
        let broken = |error| unreachable(http::no_answer(http::broken_off(error)));
        let text = text.map_err(broken)?;
        String::from_utf8(text).map_err(|_| bad("it isn't text"))
    }
}

fn bad(what: &'static str) -> UplinkError {
    UplinkError::BadAnswer { operation: "the instance metadata service", what }
}

/// Machines that don't look like an instance aren't made to ask an address that isn't there.
fn looks_like_one() -> bool {
    let starts = |path: &str, with: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| text.to_ascii_lowercase().starts_with(with))
    };
    starts("/sys/class/dmi/id/sys_vendor", "amazon ec2") || starts("/sys/hypervisor/uuid", "ec2")
}
