//! The hub's own certificate authority, for fleets without a public name.
//!
//! The authority is made once and lives ten years: devices have its certificate in flash. The
//! server's certificate is made anew when its names change or its end comes near.

use crate::error::StartError;
use crate::store::data_dir::DataDir;
use crate::store::files;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use std::fs;
use std::io;
use std::path::PathBuf;
use stint_wire::text;
use stint_wire::time::Utc;

/// The authority's certificate, to be given to clients.
pub const CA: &str = "ca.pem";
/// Its key, which never leaves the hub.
pub const CA_KEY: &str = "ca-key.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";

const MILLIS_PER_DAY: u64 = 86_400_000;
/// Lifetime of the authority, days.
const CA_DAYS: u64 = 3_650;
/// Lifetime of a server certificate, days: the most that Apple's and Mozilla's clients accept.
const SERVER_DAYS: u64 = 397;
/// A server certificate is renewed this many days before its end.
const RENEW_DAYS: u64 = 60;
/// Certificates begin this many days early, for clients whose clock is behind.
const EARLY_DAYS: u64 = 2;

/// The files of a server certificate.
pub struct Files {
    /// The certificate, then the authority's.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Makes sure that there is an authority, and a server certificate for these names that is good
/// for a while.
///
/// # Errors
/// When a file can't be read or written, or a name can stand in no certificate.
pub fn ensure(dir: &DataDir, names: &[String], now: Utc) -> Result<Files, StartError> {
    let made =
        Authority::ensure(dir, now).and_then(|authority| authority.ensure_server(dir, names, now));
    made.map_err(|e| {
        StartError::new(
            format!("can't make a certificate in {}: {e}", dir.file("").display()),
            "remove what is damaged among ca.pem, ca-key.pem, server.pem and server-key.pem, or \
             use --tls-cert and --tls-key",
        )
    })
}

type Failure = Box<dyn std::error::Error>;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn ensure(dir: &DataDir, now: Utc) -> Result<Authority, Failure> {
        let key = match fs::read_to_string(dir.file(CA_KEY)) {
            Ok(pem) => KeyPair::from_pem(&pem)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                files::create(&dir.file(CA_KEY), key.serialize_pem().as_bytes(), 0o600)?;
                key
            }
            Err(e) => return Err(e.into()),
        };
        let mut params = ca_params(&key);
        let pem = match fs::read_to_string(dir.file(CA)) {
            Ok(pem) => pem,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                set_validity(&mut params, now, CA_DAYS);
                let pem = params.self_signed(&key)?.pem();
                files::replace(&dir.file(CA), pem.as_bytes(), 0o644)?;
                pem
            }
            Err(e) => return Err(e.into()),
        };
        Ok(Authority { issuer: Issuer::new(params, key), pem })
    }

    fn ensure_server(&self, dir: &DataDir, names: &[String], now: Utc) -> Result<Files, Failure> {
        let made = Files { cert: dir.file(SERVER), key: dir.file(SERVER_KEY) };
        let note = Note {
            renew_at: Utc(now.0 + (SERVER_DAYS - RENEW_DAYS) * MILLIS_PER_DAY),
            names: names.join(","),
            ca: text::sha256_hex(self.pem.as_bytes()),
        };
        let kept = fs::read_to_string(&made.cert).ok().and_then(|pem| Note::parse(&pem));
        if kept.is_some_and(|kept| kept.serves(&note, now)) && made.key.exists() {
            return Ok(made);
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "stint-hub");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, now, SERVER_DAYS);
        let cert = params.signed_by(&key, &self.issuer)?;
        // Without a certificate that fits it, the new key counts as missing after a crash.
        let _ = fs::remove_file(&made.cert);
        files::replace(&made.key, key.serialize_pem().as_bytes(), 0o600)?;
        let pem = format!("{}{}{}", note.line(), cert.pem(), self.pem);
        files::replace(&made.cert, pem.as_bytes(), 0o644)?;
        tracing::info!(path = %made.cert.display(), names = note.names, "made a certificate");
        Ok(made)
    }
}

/// The authority's name holds a part of its key's digest, so that two hubs' authorities can be
/// told apart in one trust store.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let digest = text::sha256_hex(&key.subject_public_key_info());
    let name = format!("stint-hub authority {}", text::head(&digest, 8));
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, now: Utc, days: u64) {
    let (year, month, day) = civil(Utc(now.0.saturating_sub(EARLY_DAYS * MILLIS_PER_DAY)));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = civil(Utc(now.0.saturating_add(days * MILLIS_PER_DAY)));
    params.not_after = rcgen::date_time_ymd(year, month, day);
}

fn civil(at: Utc) -> (i32, u8, u8) {
    let date = at.date();
    let part = |from: usize, to: usize| date.get(from..to).and_then(|text| text.parse().ok());
    let small = |from, to| part(from, to).and_then(|number: i32| u8::try_from(number).ok());
    (part(0, 4).unwrap_or(1970), small(4, 6).unwrap_or(1), small(6, 8).unwrap_or(1))
}

/// What the hub has to know of a server certificate it made: a comment line before the PEM
/// block, which every reader of PEM skips.
struct Note {
    renew_at: Utc,
    /// Joined with commas.
    names: String,
    /// The digest of the authority's certificate.
    ca: String,
}

impl Note {
    fn line(&self) -> String {
        format!("# stint-hub {} {} {}\n", self.renew_at.iso(), self.ca, self.names)
    }

    fn parse(pem: &str) -> Option<Note> {
        let mut words = pem.lines().next()?.strip_prefix("# stint-hub ")?.splitn(3, ' ');
        Some(Note {
            renew_at: Utc::parse_iso(words.next()?)?,
            ca: words.next()?.to_owned(),
            names: words.next()?.to_owned(),
        })
    }

    fn serves(&self, wanted: &Note, now: Utc) -> bool {
        now < self.renew_at && self.names == wanted.names && self.ca == wanted.ca
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Utc = Utc(1_795_335_599_123);

    fn dir() -> (DataDir, tempfile::TempDir) {
        let outer = tempfile::tempdir().unwrap();
        (DataDir::open(outer.path()).unwrap(), outer)
    }

    fn served(dir: &DataDir, names: &[&str], now: Utc) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        fs::read_to_string(ensure(dir, &names, now).unwrap().cert).unwrap()
    }

    #[test]
    fn the_authority_stays_and_its_key_is_private() {
        let (dir, _outer) = dir();
        served(&dir, &["localhost"], NOW);
        let ca = fs::read_to_string(dir.file(CA)).unwrap();
        served(&dir, &["localhost", "::1"], Utc(NOW.0 + 1000 * MILLIS_PER_DAY));
        assert_eq!(fs::read_to_string(dir.file(CA)).unwrap(), ca);
        for key in [CA_KEY, SERVER_KEY] {
            let mode = fs::metadata(dir.file(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn a_certificate_is_kept_until_its_names_change_or_its_end_comes_near() {
        let (dir, _outer) = dir();
        let first = served(&dir, &["localhost"], NOW);
        let near = NOW.0 + (SERVER_DAYS - RENEW_DAYS) * MILLIS_PER_DAY;
        assert_eq!(served(&dir, &["localhost"], Utc(near - 1)), first);
        let renewed = served(&dir, &["localhost"], Utc(near));
        assert_ne!(renewed, first);
        assert_ne!(served(&dir, &["localhost", "hub.lan"], Utc(near)), renewed);
    }

    #[test]
    fn a_lost_server_key_brings_a_new_certificate() {
        let (dir, _outer) = dir();
        let first = served(&dir, &["localhost"], NOW);
        fs::remove_file(dir.file(SERVER_KEY)).unwrap();
        assert_ne!(served(&dir, &["localhost"], NOW), first);
    }

    proptest::proptest! {
        #[test]
        fn what_a_certificate_says_of_itself_is_read_back(at in 0u64..4_000_000_000_000, pem: String) {
            let note = Note { renew_at: Utc(at), names: "a,::1".to_owned(), ca: "0f".to_owned() };
            let read = Note::parse(&format!("{}{pem}", note.line())).unwrap();
            proptest::prop_assert_eq!((read.renew_at, read.names), (note.renew_at, note.names));
            let _ = Note::parse(&pem);
        }
    }

    #[test]
    fn dates_are_the_calendar_s() {
        assert_eq!(civil(NOW), (2026, 11, 22));
        assert_eq!(civil(Utc(0)), (1970, 1, 1));
    }
}
