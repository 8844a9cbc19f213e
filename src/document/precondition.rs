//! Whether a step's precondition holds. Only `StringEquals` exists: two arguments, one of them
//! `platformType` or with a parameter in it.

use stint_wire::json::Node;

/// This platform's word for `platformType`, compared in any case of letters.
const PLATFORM: &str = "linux";

/// What a precondition says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It doesn't; the text says which part.
    Fails(String),
    /// It can't be understood; the text says why.
    Unrecognised(String),
}

/// Judges a precondition as written and with the parameters filled in.
pub fn judge(written: &Node, filled: &Node) -> Verdict {
    let mut unrecognised = None;
    for ((operator, written), (_, filled)) in written.members().iter().zip(filled.members()) {
        if operator != "StringEquals" {
            unrecognised = Some(format!("unknown operator {operator}"));
            continue;
        }
        match string_equals(written, filled) {
            Verdict::Holds => {}
            Verdict::Fails(why) => return Verdict::Fails(why),
            Verdict::Unrecognised(why) => unrecognised = Some(why),
        }
    }
    unrecognised.map_or(Verdict::Holds, Verdict::Unrecognised)
}

fn string_equals(written: &Node, filled: &Node) -> Verdict {
    let unrecognised = |why: &str| Verdict::Unrecognised(format!("StringEquals: {why}"));
    let strings = |node: &Node| -> Option<[String; 2]> {
        let [a, b] = node.elements()? else { return None };
        Some([a.as_str()?.to_owned(), b.as_str()?.to_owned()])
    };
    let (Some(written), Some(filled)) = (strings(written), strings(filled)) else {
        return unrecognised("it takes two strings");
    };
    let [a, b] = &written;
    if a == b {
        return unrecognised("both arguments are the same");
    }
    if written.iter().any(|text| text.contains("ssm:") || text.contains("ssm-secure:")) {
        return unrecognised("parameters of Parameter Store can't stand here");
    }
    if written.iter().any(|text| text == "platformType") {
        let (other, filled) = if a == "platformType" { (b, &filled[1]) } else { (a, &filled[0]) };
        if other != filled {
            return unrecognised("platformType can't be compared with a parameter");
        }
        if other.eq_ignore_ascii_case(PLATFORM) {
            return Verdict::Holds;
        }
        return Verdict::Fails(format!("platformType is {PLATFORM}, not {other}"));
    }
    if written == filled {
        return unrecognised("one argument must hold a parameter or be platformType");
    }
    let [a, b] = &filled;
    if a == b { Verdict::Holds } else { Verdict::Fails(format!("\"{a}\" is not \"{b}\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stint_wire::json::parse;

    #[test]
    fn a_precondition_is_judged_as_the_original_does() {
        let judge = |written: &str, filled: &str| {
            let object =
                |arguments: &str| parse(&format!("{{\"StringEquals\":{arguments}}}")).unwrap();
            super::judge(&object(written), &object(filled))
        };
        let same = |arguments: &str| judge(arguments, arguments);
        assert_eq!(same(r#"["platformType","Linux"]"#), Verdict::Holds);
        assert_eq!(same(r#"["LINUX","platformType"]"#), Verdict::Holds);
        assert!(matches!(same(r#"["platformType","Windows"]"#), Verdict::Fails(_)));
        assert_eq!(judge(r#"["{{ a }}","yes"]"#, r#"["yes","yes"]"#), Verdict::Holds);
        assert!(matches!(judge(r#"["{{ a }}","yes"]"#, r#"["no","yes"]"#), Verdict::Fails(_)));
        for arguments in
            [r#"["a"]"#, r#"["a","a"]"#, r#"["a","b"]"#, r#"["{{ssm:x}}","b"]"#, "[1,2]", "1"]
        {
            assert!(matches!(same(arguments), Verdict::Unrecognised(_)), "{arguments}");
        }
        let platform = judge(r#"["platformType","{{ p }}"]"#, r#"["platformType","Linux"]"#);
        assert!(matches!(platform, Verdict::Unrecognised(_)));
    }

    #[test]
    fn an_unknown_operator_is_not_taken_for_true() {
        let node = parse(r#"{"NumericEquals":[1,1]}"#).unwrap();
        assert!(matches!(super::judge(&node, &node), Verdict::Unrecognised(_)));
        let empty = parse("{}").unwrap();
        assert_eq!(super::judge(&empty, &empty), Verdict::Holds);
    }

    proptest! {
        #[test]
        fn the_order_of_the_arguments_does_not_matter(
            a in "(platformType|[Ll]inux|x|\\{\\{ p \\}\\}|\\{\\{ssm:x\\}\\})",
            b in "(platformType|[Ll]inux|x|\\{\\{ p \\}\\}|\\{\\{ssm:x\\}\\})",
        ) {
            let judge = |a: &str, b: &str| {
                let written = parse(&format!("{{\"StringEquals\":[\"{a}\",\"{b}\"]}}")).unwrap();
                let filled = parse(&written.to_string().replace("{{ p }}", "x")).unwrap();
                std::mem::discriminant(&super::judge(&written, &filled))
            };
            prop_assert_eq!(judge(&a, &b), judge(&b, &a));
        }

        #[test]
        fn no_precondition_makes_the_judge_panic(text in "[\\[\\]{}:,\"a-zPE ]{0,40}") {
            if let Ok(node) = parse(&text) {
                let _ = super::judge(&node, &node);
            }
        }
    }
}
