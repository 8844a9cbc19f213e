//! A command line as words, by the shell's rules of quoting and nothing else of a shell.

/// Splits it: blanks part words, quotes of both kinds and backslashes keep them together.
///
/// # Errors
/// A quote has no end, in words for the operator.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    // None: between two words.
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(unended(line)),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('"') => break,
                        Some('\\') => match rest.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(unended(line)),
                        },
                        Some(c) => word.push(c),
                        None => return Err(unended(line)),
                    }
                }
            }
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(unended(line)),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn unended(line: &str) -> String {
    format!("a quote or backslash at the end of the command has no end: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_parted_and_kept_together_as_a_shell_does() {
        let split = |line| super::split(line).unwrap();
        assert_eq!(split("  echo a\tb\n"), ["echo", "a", "b"]);
        assert_eq!(
            split(r#"a'b c'd "e \" \x $h" f\ g '' """#),
            ["ab cd", r#"e " \x $h"#, "f g", "", ""]
        );
        assert_eq!(split("echo $(id) | cat; x > y"), ["echo", "$(id)", "|", "cat;", "x", ">", "y"]);
        assert_eq!(split(""), [""; 0]);
        for line in ["a 'b", "a \"b", "a\\", "\"a\\"] {
            assert!(super::split(line).unwrap_err().contains(line));
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(word: String) {
            let quoted = format!("'{}'", word.replace('\'', r"'\''"));
            prop_assert_eq!(split(&quoted), Ok(vec![word]));
        }
    }
}
