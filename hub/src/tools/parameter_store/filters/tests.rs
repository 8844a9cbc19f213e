//! What filters accept, and what they select.

use super::*;
use proptest::prelude::*;

fn filter(key: &str, option: &str, values: &[&str], by: For) -> ApiResult<Filter> {
    let filter = StringFilter {
        key: key.to_owned(),
        option: Some(option.to_owned()).filter(|o| !o.is_empty()),
        values: (!values.is_empty()).then(|| values.iter().map(|v| (*v).to_owned()).collect()),
    };
    parse(vec![filter], by).map(|mut filters| filters.remove(0))
}

fn row() -> Row {
    Row {
        name: "/fleet/berlin/psk".into(),
        version: 1,
        parameter_type: "SecureString".into(),
        value: String::new(),
        key_id: Some("alias/fleet".into()),
        tier: "Standard".into(),
        data_type: "text".into(),
        description: None,
        allowed_pattern: None,
        policies: "[]".into(),
        modified_at: 0,
        modified_by: String::new(),
    }
}

#[test]
fn every_key_selects_what_it_names() {
    let tags = [Tag { key: "site".into(), value: "berlin".into() }];
    for (key, option, values, expected) in [
        ("Name", "", &["/fleet/berlin/psk"][..], true),
        ("Name", "Equals", &["/fleet"], false),
        ("Name", "BeginsWith", &["/x", "/fleet"], true),
        ("Name", "Contains", &["berlin"], true),
        ("Name", "Contains", &["bern"], false),
        ("Type", "", &["String", "SecureString"], true),
        ("Type", "Equals", &["String"], false),
        ("Type", "BeginsWith", &["Sec"], true),
        ("KeyId", "", &["alias/fleet"], true),
        ("KeyId", "BeginsWith", &["alias/aws"], false),
        ("Path", "Recursive", &["/fleet"], true),
        ("Path", "OneLevel", &["/fleet"], false),
        ("Path", "", &["/fleet/berlin/"], true),
        ("Path", "", &["/fleet/ber"], false),
        ("Path", "Recursive", &["/"], true),
        ("Tier", "", &["Advanced"], false),
        ("DataType", "", &["text"], true),
        ("tag:site", "", &["berlin"], true),
        ("tag:site", "", &[], true),
        ("tag:site", "BeginsWith", &["ber"], true),
        ("tag:role", "", &[], false),
    ] {
        let filter = filter(key, option, values, For::Describe).unwrap();
        assert_eq!(filter.matches(&row(), &tags), expected, "{key} {option} {values:?}");
    }
}

#[test]
fn each_bad_filter_has_its_own_code() {
    for (key, option, values, by, code) in [
        ("Colour", "", &["red"][..], For::Describe, "InvalidFilterKey"),
        ("tag:", "", &["red"], For::Describe, "InvalidFilterKey"),
        ("Label", "", &["prod"], For::Describe, "InvalidFilterKey"),
        ("Name", "", &["x"], For::ByPath, "InvalidFilterKey"),
        ("tag:site", "", &["x"], For::ByPath, "InvalidFilterKey"),
        ("Name", "Recursive", &["x"], For::Describe, "InvalidFilterOption"),
        ("Type", "Contains", &["x"], For::Describe, "InvalidFilterOption"),
        ("Path", "Equals", &["/x"], For::Describe, "InvalidFilterOption"),
        ("Label", "BeginsWith", &["x"], For::ByPath, "InvalidFilterOption"),
        ("Type", "", &["Number"], For::Describe, "InvalidFilterValue"),
        ("Tier", "", &["Gold"], For::Describe, "InvalidFilterValue"),
        ("Name", "", &[], For::Describe, "InvalidFilterValue"),
        ("Path", "", &["fleet"], For::Describe, "ValidationException"),
    ] {
        let error = filter(key, option, values, by).unwrap_err();
        assert_eq!(error.code, code, "{key} {option} {values:?}");
    }
    let twice =
        || StringFilter { key: "Name".into(), option: None, values: Some(vec!["x".into()]) };
    let error = parse(vec![twice(), twice()], For::Describe).unwrap_err();
    assert_eq!(error.code, "InvalidFilterKey");
}

#[test]
fn the_older_list_matches_names_by_their_beginning() {
    let legacy = |key: &str, value: &str| {
        let filter = LegacyFilter { key: key.into(), values: vec![value.into()] };
        parse_legacy(vec![filter]).unwrap().remove(0)
    };
    assert!(legacy("Name", "/fleet").matches(&row(), &[]));
    assert!(!legacy("KeyId", "alias").matches(&row(), &[]));
}

proptest! {
    #[test]
    fn no_filter_makes_the_reader_panic(
        key in "Name|Path|Type|tag:x|\\PC*", option in "Equals|BeginsWith|Recursive|\\PC*",
        value: String,
    ) {
        for by in [For::Describe, For::ByPath] {
            if let Ok(filter) = filter(&key, &option, &[&value], by) {
                let _ = filter.matches(&row(), &[]);
            }
        }
    }

    #[test]
    fn what_is_right_under_a_path_is_under_it(
        path in "/([ab]/){0,3}", name in "(/[ab]{1,2}){1,4}",
    ) {
        prop_assert!(!is_under(&name, &path, false) || is_under(&name, &path, true));
        let right_under = format!("{path}x");
        prop_assert!(is_under(&right_under, &path, false));
    }
}
