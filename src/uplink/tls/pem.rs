//! Certificates in text (RFC 7468). rustls reads them, too, with keys and all that may stand in such a
//! file: 2 kB more on ARMv7.

use super::Authority;
use stint_wire::text::from_base64;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a PEM file. One bad entry in a bundle of a hundred is no reason to trust none, so
/// what can't be read is passed over; and so is what stands between them.
pub fn certificates(text: &str) -> Vec<Authority> {
    let certificate = |entry: &str| {
        let (lines, _) = entry.split_once(END)?;
        let base64: String = lines.split_ascii_whitespace().collect();
        from_base64(&base64).map(Authority::from)
    };
    text.split(BEGIN).skip(1).filter_map(certificate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::pem::PemObject;
    use stint_wire::text::base64;

    fn entry(bytes: &[u8], width: usize, end: &str) -> String {
        let text = base64(bytes);
        let lines: Vec<_> = text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
        format!("{BEGIN}{end}{}{end}{END}{end}", lines.join(end))
    }

    proptest! {
        #[test]
        fn every_certificate_is_found_as_rustls_finds_it(
            all in proptest::collection::vec("[a-zä ]{0,20}", 0..4),
            end in "\r?\n",
        ) {
            let text: String = all
                .iter()
                .map(|one| format!("# {one}{end}{}", entry(one.as_bytes(), 64, &end)))
                .collect();
            let rustls: Vec<_> =
                Authority::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect();
            let wanted: Vec<_> = all.iter().map(|one| Authority::from(one.clone().into_bytes())).collect();
            prop_assert_eq!(&certificates(&text), &wanted);
            prop_assert_eq!(rustls, wanted);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            certificates(&text);
            certificates(&format!("{BEGIN}{text}{END}"));
        }
    }

    #[test]
    fn what_is_broken_is_passed_over_and_the_rest_is_trusted() {
        let good = entry(b"good", 4, "\n");
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for broken in [format!("{BEGIN}\nAAAA\n"), format!("{BEGIN}\n!!!!\n{END}\n"), key.into()] {
            assert_eq!(
                certificates(&format!("{broken}{good}")),
                [Authority::from(b"good".to_vec())]
            );
            assert_eq!(
                certificates(&format!("{good}{broken}")),
                [Authority::from(b"good".to_vec())]
            );
        }
    }
}
